"""Names: sealed, checked against their own file, known to their run as well.

It is repaired from there.
"""

import time

import pytest

from actlas.store import DamagedStore, Store, UsageError
from actlas.store.format.schema import seal
from actlas.store.maintenance.gc import collect, remove, rename
from tests.store.killing import killed_stores
from tests.store.making import Content, begin_run, flip, make_run

SMALL = Content(units=((2, 1),), dtypes={"nll": "float32"})


@pytest.fixture
def store(tmp_path) -> Store:
    """Runs "her" and "his", the first called "alias" as well."""
    her = make_run(tmp_path / "store", SMALL, "her")
    make_run(tmp_path / "store", SMALL, "his", other=1)
    store = Store(tmp_path / "store")
    store.name(her, "alias")
    return store


def overwrite(path, content):
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def sealed(name, run_id):
    return seal({"format": "actlas-name", "version": 1, "name": name, "run": run_id})


def another(store):
    return (store.path / "names" / "his").read_bytes()


def not_an_id(_):
    return sealed("her", "../../etc")


@pytest.mark.parametrize("content", [another, not_an_id, b"", b"\xff", b"0" * 16 + b"\n", b"{}"])
def test_a_name_with_another_content_is_named_and_repaired_and_the_others_work(
    content, store, actlas
):
    ids = store.names()
    path = store.path / "names" / "her"
    overwrite(path, content if isinstance(content, bytes) else content(store))
    with pytest.raises(DamagedStore, match=f"{path} is (not )?the record of"):
        store.run("her")
    assert (store.run("alias").id, store.run("his").id) == (ids["her"], ids["his"])
    assert store.run("alias").names == ("alias",)
    with pytest.raises(UsageError, match=f"the name 'her' is run {ids['her']}'s already"):
        store.name(store.run("his"), "her")
    done = actlas("verify", "--store", store.path)
    assert (done.returncode, str(path) in done.stderr, "her: DAMAGED" in done.stdout) == (
        1,
        True,
        True,
    ), done
    done = actlas("verify", "--repair", "--store", store.path)
    assert (done.returncode, f"restored the name her of run {ids['her']}" in done.stdout) == (
        0,
        True,
    ), done
    assert store.names() == ids
    assert store.run("her").id == ids["her"]
    assert actlas("verify", "--store", store.path).returncode == 0


def test_any_bit_of_a_name_is_found_or_changes_nothing(store):
    path = store.path / "names" / "her"
    wanted = store.run("her").id
    for position in range(path.stat().st_size):
        flip(path, position)
        try:
            assert store.run("her").id == wanted
        except DamagedStore as error:
            assert str(path) in str(error)
        flip(path, position)


def test_a_name_of_a_later_version_is_left_as_it_is(store, actlas):
    path = store.path / "names" / "her"
    content = seal(
        {"format": "actlas-name", "version": 2, "name": "her", "run": store.run("her").id}
    )
    overwrite(path, content)
    for words in (["show", "her"], ["verify", "--repair"], ["gc"], ["rename", "alias", "her"]):
        done = actlas(*words, "--store", store.path)
        assert words == ["gc"] or (done.returncode == 1 and "update actlas" in done.stderr), (
            words,
            done,
        )
        assert path.read_bytes() == content


def test_a_name_that_points_to_no_run_is_damage(store):
    overwrite(store.path / "names" / "her", sealed("her", "0" * 16))
    with pytest.raises(DamagedStore, match=r"names/her points to run .*, which is not there"):
        store.run("her")
    assert store.run("his").names == ("his",)


def test_a_name_file_that_was_deleted_is_reported_and_comes_back(store, actlas):
    ids = store.names()
    (store.path / "names" / "her").unlink()
    done = actlas("verify", "--store", store.path)
    assert (
        done.returncode,
        f"names/her, a name of run {ids['her']}, is missing" in done.stderr,
    ) == (1, True), done
    assert actlas("verify", "--repair", "--store", store.path).returncode == 0
    assert store.names() == ids


def test_a_damaged_second_record_is_reported_and_written_again(store, actlas):
    own = store.run("her").folder / "names" / "her"
    before = own.read_bytes()
    overwrite(own, b"{}")
    done = actlas("verify", "--store", store.path)
    assert (done.returncode, str(own) in done.stderr) == (1, True), done
    assert actlas("verify", "--repair", "--store", store.path).returncode == 0
    assert own.read_bytes() == before


def test_a_damaged_name_that_no_run_knows_can_be_given_again(store, actlas):
    run = store.run("his")
    (run.folder / "names" / "his").unlink()
    overwrite(store.path / "names" / "his", b"{}")
    assert rename(store, run.id, "his")[0].names == ("his",)
    (run.folder / "names" / "his").unlink()
    overwrite(store.path / "names" / "his", b"{}")
    done = actlas("verify", "--repair", "--store", store.path)
    assert (done.returncode, "removed the name his, which no run knows" in done.stdout) == (
        0,
        True,
    ), done
    assert set(store.names()) == {"alias", "her"}


def test_renaming_and_removing_leave_no_record_behind(store):
    her, his = store.run("her"), store.run("his")
    rename(store, "her", "hers")
    assert sorted(path.name for path in (her.folder / "names").iterdir()) == ["alias", "hers"]
    remove(store, his.id)
    assert store.damaged() == {}
    assert collect(store).garbage == ()
    assert store.name(begin_run(store.path, SMALL, third=1), "his").names == ("his",)


@pytest.mark.parametrize(
    "action", ["store.name(store.run('his'), 'two')", "rename(store, 'his', 'two')"]
)
def test_naming_or_renaming_killed_anywhere_leaves_no_damage(action, store, tmp_path):
    run_id = store.run("his").id
    imports = "from actlas.store.maintenance.gc import rename"
    for path in killed_stores(
        store.path, tmp_path / "killed", imports, f"store = Store(store); {action}"
    ):
        killed = Store(path)
        assert killed.damaged() == {}
        assert killed.repair_names() == []
        names = {name for name, target in killed.names().items() if target == run_id}
        assert {"his"} <= names or names == {"two"}
        assert all(killed.run(name).id == run_id for name in names)


def test_a_run_is_found_among_a_thousand_names_in_a_moment(store):
    run = store.run("her")
    for number in range(1000):
        (store.path / "names" / f"n{number}").write_bytes(sealed(f"n{number}", run.id))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert store.run("his").names == ("his",)
        seconds.append(time.perf_counter() - start)
    print(f"{1000 * min(seconds):.2f} ms")
    opened = []
    original = store._names._read
    store._names._read = lambda path: opened.append(path) or original(path)
    assert store.run("n7").id == run.id
    assert len(opened) < 10  # not those of others
