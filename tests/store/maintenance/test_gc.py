"""``gc`` removes what dead writers left, and nothing else."""

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import Store
from actlas.store.format.schema import seal
from actlas.store.io.workspace import workspace
from actlas.store.maintenance.disk_usage import usage
from actlas.store.maintenance.gc import REMOVED, collect, tree_bytes
from actlas.store.maintenance.verify import verify
from tests.store.maintenance.small_stores import SMALL, everything
from tests.store.making import begin_run, flip, make_run, write_unit


def leave(store, kind, number):
    """Leave something behind, as a kill would; return its path."""
    run = store.run("other")
    if kind == "folder":
        path = run.folder / "tmp" / f"dead{number}"
        path.mkdir()
        (path / "draft.h5").write_bytes(b"12345")
    elif kind == "shard":
        path = run.folder / "shards" / f"0000000{number}-00000000-dead{number}.h5"
        path.write_bytes(b"1234567")
    elif kind == "unborn":
        path = store.path / "runs" / f"{number:016x}"
        (path / "tmp" / "dead").mkdir(parents=True)
        (path / "shards").mkdir()
    elif kind == "removed":
        path = store.path / REMOVED / f"{number:016x}-dead"
        (path / "shards").mkdir(parents=True)
        (path / "shards" / "one.h5").write_bytes(b"123")
    else:
        path = store.path / "names" / f"lost{number}"
        path.write_bytes(
            seal(
                {"format": "actlas-name", "version": 1, "name": path.name, "run": f"{number:016x}"}
            )
        )
    return path


@pytest.mark.slow
@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(["folder", "shard", "unborn", "removed", "name"]), max_size=6)
)
def test_garbage_is_listed_then_removed_and_nothing_else_is(kinds, tmp_path_factory):
    path = tmp_path_factory.mktemp("left") / "store"
    run = make_run(path, SMALL, "other")
    store = Store(path)
    before, sizes = everything(store), usage(store)
    left = {leave(store, kind, number) for number, kind in enumerate(kinds)}
    listed = collect(store, dry_run=True)
    assert (
        {item.path for item in listed.garbage} == left == {path for path in left if path.exists()}
    )
    assert {item.nbytes == tree_bytes(item.path) for item in listed.garbage} <= {True}
    assert usage(store).garbage == sum(item.nbytes for item in listed.garbage)
    assert usage(store).runs[0].sites == sizes.runs[0].sites
    assert usage(store).runs[0].records == sizes.runs[0].records
    assert collect(store) == listed
    assert everything(store) == before
    assert collect(store).garbage == ()
    assert [item.problems for item in verify(run)] == [(), ()]


def test_what_a_living_writer_has_is_no_garbage(store, writer):
    before = everything(store)
    assert collect(store).garbage == ()
    assert everything(store) == before
    clean = next(run for run in usage(store).runs if run.run.name == "clean")
    assert clean.writing == len("half a unit")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert [item.kind for item in collect(store).garbage] == ["folder of a writer that is gone"]


def test_a_run_that_is_being_made_is_no_garbage(store):
    folder = store.path / "runs" / ("0" * 16)
    with workspace(folder):
        assert collect(store).garbage == ()
        assert folder.exists()
    assert [item.path for item in collect(store).garbage] == [folder]


def test_damage_is_reported_and_left(store):
    run, other = store.run("clean"), store.run("other")
    (run.folder / "run.json").unlink()
    flip(next((other.folder / "commits").iterdir()), 20)
    stray = leave(store, "shard", 9)
    found = collect(store)
    assert len(found.problems) == 2
    assert any(f"{run.folder / 'run.json'} is missing" in problem for problem in found.problems)
    assert found.garbage == ()  # a damaged run is there, and keeps its names
    assert "clean" in store.names()
    assert stray.exists()
    assert len(list((run.folder / "shards").iterdir())) == 2


def test_a_unit_can_be_written_after_gc(store):
    run = begin_run(store.path, SMALL, "late", late=1)
    collect(store)
    assert write_unit(run, SMALL, 0, ("q", "nll"))
