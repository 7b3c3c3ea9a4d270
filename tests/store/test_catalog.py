import multiprocessing
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store import DamagedStore, Store, StoreError, UsageError
from actlas.store.errors import quoted
from actlas.store.format.differences import differences
from actlas.store.format.run_names import is_run_name
from actlas.store.format.schema import identity, seal
from actlas.store.runs import names
from actlas.store.runs.names import Names
from tests.store.making import Content, begin_run, flip, make_run

values = st.integers(0, 2) | st.text(max_size=2) | st.none()
specifications = st.dictionaries(
    st.sampled_from("abc"),
    values | st.dictionaries(st.sampled_from("xy"), values, max_size=2),
    max_size=3,
)


@pytest.fixture
def store(tmp_path, content) -> Store:
    """Three runs: the first has two names, the third none."""
    path = tmp_path / "store"
    first = begin_run(
        path, content, "her", model="a" * 64, edits=[{"kind": "skip", "site": "resid", "depth": 6}]
    )
    begin_run(path, content, "his", model="b" * 64, edits=[])
    begin_run(path, content, model="a" * 64, edits=[], seed=7)
    Store(path).name(first, "alias")
    return Store(path)


def test_a_run_is_found_by_every_name_and_by_its_id(store):
    run = store.run("her")
    assert run.names == ("alias", "her")
    assert {
        store.run(reference).id for reference in ("alias", run.id, run.id[:4], run.id[:15])
    } == {run.id}
    assert store.find(run.id).id == run.id
    assert store.find("0" * 16) is None
    assert {run.id for run in store.runs()} >= {run.id}
    assert len(store.runs()) == 3
    assert store.names() == {"alias": run.id, "her": run.id, "his": store.run("his").id}


def test_an_unknown_run_lists_the_nearest_and_all(store):
    nameless = next(run for run in store.runs() if not run.names)
    with pytest.raises(
        UsageError, match=r"unknown run 'hers': did you mean her\? known: "
    ) as found:
        store.run("hers")
    assert all(name in str(found.value) for name in ("alias", "her", "his", nameless.id))
    with pytest.raises(UsageError, match="unknown run"):
        store.run(nameless.id[:3])  # too short to be the beginning of an id


def test_an_ambiguous_beginning_lists_the_ids(store):
    first, seeds = {}, iter(range(1000, 5000))
    one, two = next(
        (first[key], seed)
        for seed in seeds
        if first.setdefault(key := identity({"seed": seed})[:4], seed) != seed
    )
    ids = sorted(store.add({"seed": seed}, {}, ()).id for seed in (one, two))
    with pytest.raises(UsageError, match=f"run '{ids[0][:4]}' is ambiguous: {ids[0]}, {ids[1]}"):
        store.run(ids[0][:4])


def test_a_name_keeps_its_run(store):
    with pytest.raises(UsageError, match=f"the name 'her' is run {store.run('her').id}'s already"):
        store.name(store.run("his"), "her")
    assert store.name(store.run("her"), "her").names == ("alias", "her")


@pytest.mark.parametrize(
    "name", ["", ".x", "-x", "a b", "a/b", "../x", "x\n", "u\u0308", "x" * 101, "0123456789abcdef"]
)
def test_bad_names_are_refused(name, store):
    with pytest.raises(UsageError, match=f"bad run name {re.escape(quoted(name))}"):
        store.name(store.run("her"), name)


@given(
    wanted=st.text()
    | st.sampled_from(["0123456789abcdef", "_notes", "her", "a" * 90 + "-", "..", "her.txt"])
)
def test_a_free_name_can_be_taken(wanted, tmp_path_factory):
    store = Store.create(tmp_path_factory.getbasetemp() / "names")
    name = store.free_name(wanted)
    assert is_run_name(name)
    store.check_name(name, "0" * 16)
    run = store.add({"wanted": wanted}, {}, ())
    assert store.name(run, store.free_name(wanted)).names


def test_files_that_systems_leave_behind_are_no_names(store):
    (store.path / "names" / ".DS_Store").write_bytes(b"\0\xff")
    assert set(store.names()) == {"alias", "her", "his"}
    assert store.run("her").names == ("alias", "her")


def test_nothing_or_something_else_is_no_store(tmp_path):
    with pytest.raises(UsageError, match="nowhere is not there: give another --store"):
        Store(tmp_path / "nowhere")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not an actlas store"):
        Store(tmp_path)
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(
            UsageError, match=r"is not an actlas store and not empty \(thesis\.tex\)"
        ):
            Store.create(place)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert not Store.is_at(tmp_path / "nowhere")


def test_a_store_is_made_once(tmp_path):
    Store.create(tmp_path / "a" / "store")
    before = (tmp_path / "a" / "store" / "store.json").stat()
    Store.create(tmp_path / "a" / "store")
    assert (tmp_path / "a" / "store" / "store.json").stat() == before
    assert Store.is_at(tmp_path / "a" / "store")


def test_an_altered_store_file_is_an_error_that_names_it(store):
    for position in range((store.path / "store.json").stat().st_size):
        flip(store.path / "store.json", position)
        with pytest.raises(DamagedStore, match=r"store\.json"):
            Store(store.path)
        flip(store.path / "store.json", position)


def test_a_store_that_is_made_meanwhile_is_one(tmp_path, monkeypatch):
    listing = Path.iterdir

    def made_first(folder):
        monkeypatch.undo()
        Store.create(folder)
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", made_first)
    assert Store.is_at(tmp_path)


def test_adding_a_run_again_keeps_its_first_plan(store, content):
    first = store.run("her")
    again = store.add(first.specification, {"created": "later"}, Content(units=((1,),)).plan)
    assert (again.units, again.description, again.names) == (
        first.units,
        first.description,
        first.names,
    )


def _add(path, start, units):
    start.wait()
    Store.create(path).add({"seed": 1}, {}, Content(units=units).plan)


@pytest.mark.slow
def test_processes_that_begin_a_run_together_agree_on_its_plan(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, path = context.Event(), tmp_path / "store"
    processes = [
        context.Process(target=_add, args=(path, start, ((size,),))) for size in range(1, 4)
    ]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (run,) = Store(path).runs()
    assert run.units in [Content(units=((size,),)).plan for size in range(1, 4)]
    assert not list((run.folder / "tmp").iterdir())


def test_the_nearest_run_and_what_it_differs_in(store):
    specification = {
        "seed": 0,
        "model": "a" * 64,
        "edits": [{"kind": "scale", "site": "resid", "depth": 3, "factor": 0.5}],
    }
    run, fields = store.nearest(specification)
    assert run.id == store.run("her").id
    assert fields == ["edits: scale:layer=2,factor=0.5 here, skip:layer=5 there"]
    _, fields = store.nearest({**specification, "edits": [], "model": "c" * 64, "seed": 7})
    assert fields == [f"model: {'c' * 16}… here, {'a' * 16}… there"]
    assert Store.create(store.path.parent / "empty").nearest(specification) is None


def test_names_are_read_once_however_many_runs_there_are(store, monkeypatch):
    calls, names = [], Names.all
    monkeypatch.setattr(Names, "all", lambda self: calls.append(self) or names(self))
    assert len(store.runs()) > 1
    assert len(calls) == 1


@given(one=specifications, other=specifications)
def test_specifications_without_differences_are_the_same_run(one, other):
    assert (differences(one, other) == []) == (identity(one) == identity(other))
    assert len(differences(one, other)) == len(differences(other, one))


def test_a_store_that_is_there_is_opened_without_a_write(tmp_path, monkeypatch):
    """As on a medium that is mounted read-only.

    Folders that a killed writer did not come to make are made.
    """
    Store.create(tmp_path / "store")
    (tmp_path / "store" / "names").rmdir()
    monkeypatch.setattr("actlas.store.catalog.publish_bytes", None)
    assert Store.create(tmp_path / "store").names() == {}
    assert (tmp_path / "store" / "names").is_dir()


def test_more_units_than_a_record_holds_are_refused_before_they_are_planned(tmp_path, monkeypatch):
    monkeypatch.setattr("actlas.store.format.run_record.LARGEST_RECORD", 300)
    store = Store.create(tmp_path / "store")
    with pytest.raises(
        StoreError, match="40 units are more than a run can have: give a larger --unit-tokens"
    ):
        store.add({"seed": 0}, {}, Content(units=((1,),) * 40).plan)
    assert store.runs() == []


def test_a_name_is_looked_up_by_its_file(tmp_path, monkeypatch):
    """In a store of a thousand names, those of other runs are not read."""
    run = make_run(tmp_path / "store", Content(units=((2,),), dtypes={"nll": "float32"}), "her")
    store = Store(tmp_path / "store")
    for number in range(1000):
        (store.path / "names" / f"n{number}").write_bytes(
            seal({"format": "actlas-name", "version": 1, "name": f"n{number}", "run": "0" * 16})
        )
    opened, read = [], names.read_record
    monkeypatch.setattr(names, "read_record", lambda path: opened.append(path) or read(path))
    for reference in ("her", run.id, run.id[:6]):
        assert store.run(reference).id == run.id
        assert len(opened) <= 4
        opened.clear()
    assert store.add({"seed": 7}, {}, run.units).names == ()
    assert opened == []
    with pytest.raises(UsageError, match="unknown run"):
        store.run("hers")
    assert len(opened) > 1000
