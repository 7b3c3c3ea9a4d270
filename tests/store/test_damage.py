"""Accidents: what is cut, flipped, deleted, swapped or renamed is found, named.

It is never read as numbers.
"""

import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import ActlasError, DamagedStore, Run, Store
from actlas.store.io.workspace import collect_garbage, workspace
from tests.store.making import SKIP, Content, flip, make_run, problems, shards


def read_all(run, check) -> dict[str, np.ndarray]:
    dataset = Run(run.folder).dataset(check=check)
    return {name: variable.values for name, variable in dataset.variables.items()}


@pytest.fixture(scope="module")
def two(tmp_path_factory, content):
    """A store with two runs of equal plan."""
    path = tmp_path_factory.mktemp("two") / "store"
    make_run(path, content, "one")
    make_run(path, Content(seed=1), "other", edits=[SKIP])
    return path


@pytest.fixture
def store(two, tmp_path):
    """A copy of ``two`` to do harm to."""
    return Store(shutil.copytree(two, tmp_path / "store"))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_shard_cut_anywhere_is_found_and_not_read(data, copied_for_cuts):
    run = copied_for_cuts
    number = data.draw(st.integers(0, 2))
    path, size = shards(run)[number], run.commits[number].size
    content = path.read_bytes()
    length = data.draw(st.integers(0, size - 1) | st.sampled_from([0, 1, 512, 4096, size - 1]))
    path.chmod(0o644)
    os.truncate(path, length)
    try:
        assert [
            f"{path} has {length} bytes, expected {size}" in problem for problem in problems(run)
        ] == [True]
        with pytest.raises(DamagedStore, match=path.name):
            read_all(run, check=False)
    finally:
        path.write_bytes(content)
    assert problems(run) == []


@pytest.fixture(scope="module")
def copied_for_cuts(stored, tmp_path_factory):
    store = shutil.copytree(stored.folder.parents[1], tmp_path_factory.mktemp("cuts") / "store")
    return Run(store / "runs" / stored.id)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_bit_flipped_anywhere_in_a_store_is_found_or_changes_nothing(data, copied_for_cuts):
    folder = copied_for_cuts.folder
    files = sorted(
        path for path in folder.parents[1].rglob("*") if path.is_file() and path.stat().st_size
    )
    path = data.draw(st.sampled_from(files))
    position, bit = data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
    before = read_all(copied_for_cuts, check=True)
    flip(path, position, bit)
    try:
        found = [*problems(Run(folder)), *Store(folder.parents[1]).damaged().values()]
        after = read_all(copied_for_cuts, check=True)
    except DamagedStore as error:
        assert path.name in str(error)
    else:
        if not found:  # the bytes outside what is read, or another spelling of the same record
            assert path.suffix == ".json" or path.parent.name == "names"
        for name, values in after.items():
            np.testing.assert_array_equal(values, before[name])
    finally:
        flip(path, position, bit)


def test_a_deleted_shard_is_found_and_not_read(store):
    run = store.run("one")
    path = shards(run)[1]
    path.unlink()
    assert f"{path} cannot be read (No such file or directory): remove" in problems(run)[0]
    with pytest.raises(DamagedStore, match=f"{path.name} is missing"):
        read_all(run, check=False)


def test_a_deleted_commit_is_found_and_made_again_from_its_shard(store):
    run = store.run("one")
    commit = min((run.folder / "commits").iterdir())
    commit.unlink()
    run.refresh()
    assert [unit.number for unit, _ in run.missing(["q"])] == [0]
    with pytest.raises(ActlasError, match="run its `actlas extract` command again"):
        read_all(run, check=False)
    (problem,) = problems(run)
    assert "holds unit 0" in problem
    assert "no record speaks of it: `actlas verify --repair` restores it" in problem
    assert collect_garbage(run.folder) == []  # the only copy of a committed unit is never rubbish
    with workspace(run.folder) as work:  # whoever writes next
        assert work.restored == (0,)
    assert problems(run) == []
    run.refresh()
    assert run.missing(["q"]) == []


def test_what_is_swapped_between_runs_is_found_and_not_read(store):
    one, other = store.run("one"), store.run("other")
    for folder in ("commits", "shards"):
        first, second = (min((run.folder / folder).iterdir()) for run in (one, other))
        content, name = first.read_bytes(), first.name
        first.unlink()
        shutil.copyfile(second, first)
        found = problems(Run(one.folder))
        assert len(found) >= 1
        assert name in found[0]
        with pytest.raises(DamagedStore):
            read_all(one, check=True)
        first.chmod(0o644)
        first.write_bytes(content)
    assert problems(Run(one.folder)) == problems(other) == []


def test_a_renamed_shard_is_missing(store):
    run = store.run("one")
    path = shards(run)[0]
    path.rename(path.with_name("00000000-other.h5"))
    assert f"{path} cannot be read" in problems(run)[0]
    with pytest.raises(DamagedStore, match=f"{path.name} is missing"):
        read_all(run, check=False)


def test_a_renamed_run_is_found(store):
    run = store.run("one")
    run.folder.rename(run.folder.with_name("0" * 16))
    damaged = store.damaged()
    assert set(damaged) == {"0" * 16, "one"}
    assert f"is of run {run.id}, not of {'0' * 16}" in str(damaged["0" * 16])
    assert f"names/one points to run '{run.id}', which is not there" in str(damaged["one"])


@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
def test_a_damaged_run_does_not_take_the_others_with_it(harm, store):
    one, other = store.run("one"), store.run("other")
    path = one.folder / "run.json"
    if harm == "flip":
        flip(path, 60)
    elif harm == "cut":
        path.chmod(0o644)
        os.truncate(path, 100)
    else:
        path.unlink()
    assert [run.id for run in store.runs()] == [other.id]
    assert list(store.damaged()) == [one.id]
    assert str(path) in str(store.damaged()[one.id])
    assert store.nearest(one.specification)[0].id == other.id
    with pytest.raises(DamagedStore, match=r"run\.json"):
        store.run("one")
    np.testing.assert_array_equal(read_all(other, True)["q"], Content(seed=1).values["q"])


def test_a_sound_store_has_no_damage(store):
    assert store.damaged() == {}
    assert len(store.runs()) == 2
    # a run whose writer was killed before its run.json
    (store.path / "runs" / ("f" * 16) / "commits").mkdir(parents=True)
    assert store.damaged() == {}


@pytest.mark.parametrize("place", ["runs", "names", "runs/*/commits"])
def test_a_folder_that_may_not_be_read_is_not_empty(place, store, actlas_without_root):
    folder = next(iter(store.path.glob(place)))
    folder.chmod(0o000)
    try:
        for command in ("ls", "verify"):
            done = actlas_without_root(command, "--store", store.path)
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
            assert str(folder) in done.stderr
            assert "Permission denied" in done.stderr
    finally:
        folder.chmod(0o755)


def test_commands_list_what_is_damaged_and_go_on(store, actlas):
    one, other = store.run("one"), store.run("other")
    flip(one.folder / "run.json", 60)
    done = actlas("ls", "--store", store.path)
    assert (done.returncode, "other" in done.stdout) == (0, True)
    assert done.stderr.startswith(f"damaged: {one.folder / 'run.json'} ")
    done = actlas("verify", "--store", store.path)
    assert done.returncode == 1
    assert "other: 3 commits" in done.stdout
    assert f"{one.id}: DAMAGED" in done.stdout
    assert str(one.folder / "run.json") in done.stderr
    flip(min((other.folder / "commits").iterdir()), 60)
    done = actlas("ls", "--store", store.path)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 2)


def test_verify_says_what_a_run_lacks(store, actlas):
    for folder in ("commits", "shards"):
        min((store.run("one").folder / folder).iterdir()).unlink()
    done = actlas("verify", "one", "--store", store.path)
    assert done.returncode == 0
    assert "one: 2 commits" in done.stdout
    assert "1 of 3 units are not stored: the same `actlas extract` makes them" in done.stdout
