import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from actlas.store import Run, Store
from actlas.store.format.schema import canonical, checksum
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from tests.store.killing import killed_stores
from tests.store.making import Content, flip, make_run, shards, write_unit

NOBODY = 65534


def damage_data(run, number):
    flip(shards(run)[number], run.commits[number].sites["q"].offset)


def damage_labels(run, number):
    flip(shards(run)[number], run.commits[number].labels["text"].offset)


def cut(run, number):
    path = shards(run)[number]
    path.chmod(0o644)
    os.truncate(path, 100)


def lose(run, number):
    shards(run)[number].unlink()


def damage_commit(run, number):
    flip(sorted((run.folder / "commits").iterdir())[number], 40)


def rename_commit(run, number):
    path = sorted((run.folder / "commits").iterdir())[number]
    path.rename(path.with_name(f"{number:08d}-ffffffff.json"))


def lose_commit(run, number):
    min((run.folder / "commits").glob(f"{number:08d}-*.json")).unlink()


def rename_shard(run, number):
    path = shards(run)[number]
    path.rename(path.with_name(f"{number:08d}-0123abcd-ffff.h5"))


def damage_copy(run, number):
    flip(shards(run)[number], run.commits[number].record.hdf5 + 77)


def cut_copy(run, number):
    flip(shards(run)[number], run.commits[number].size - 2)


DAMAGES = (damage_data, damage_labels, cut, lose)
MENDABLE = (damage_commit, rename_commit, lose_commit, rename_shard, damage_copy, cut_copy)


def is_valid(run):
    return not any(item.problems for item in verify(run))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("numbers", [(0,), (1, 2), (0, 1, 2)])
def test_what_is_damaged_goes_and_extracting_again_brings_it_back(damage, numbers, copied, content):
    kept = {
        number: shards(copied)[number].read_bytes() for number in range(3) if number not in numbers
    }
    for number in numbers:
        damage(copied, number)
    done = repair(copied, list(verify(Run(copied.folder))))
    assert {item.unit for item in done.dropped} == set(numbers)
    assert done.left == ()
    assert is_valid(copied)
    assert [path.read_bytes() for path in sorted((copied.folder / "shards").iterdir())] == list(
        kept.values()
    )
    assert {unit.number for unit, _ in copied.missing(content.dtypes)} == set(numbers)
    for unit, sites in copied.missing(content.dtypes):
        assert write_unit(copied, content, unit.number, sites)
    copied.refresh()
    for site, array in copied.dataset(check=True).data_vars.items():
        np.testing.assert_array_equal(array.values, content.values[site])


@pytest.mark.parametrize("damage", MENDABLE)
@pytest.mark.parametrize("numbers", [(0,), (1, 2), (0, 1, 2)])
def test_what_is_still_known_is_written_again_and_nothing_dropped(damage, numbers, copied, content):
    before = {path: path.read_bytes() for path in copied.folder.rglob("*.*")}
    for number in numbers:
        damage(copied, number)
        copied.refresh()
    found = list(verify(Run(copied.folder)))
    assert sum(bool(item.problems) for item in found) >= len(numbers)
    done = repair(copied, found)
    assert (done.dropped, done.left, len(done.restored)) == ((), (), len(numbers))
    assert is_valid(copied)
    assert {path: path.read_bytes() for path in copied.folder.rglob("*.*")} == before
    assert {path.stat().st_mode & 0o777 for path in shards(copied)} == {0o444}


def test_a_sound_run_is_left_as_it_is(copied):
    before = {path: path.read_bytes() for path in copied.folder.rglob("*.*")}
    assert repair(copied, list(verify(copied))).dropped == ()
    assert {path: path.read_bytes() for path in copied.folder.rglob("*.*")} == before


def test_a_copied_commit_goes_and_the_shard_of_the_true_one_stays(copied):
    true = sorted((copied.folder / "commits").iterdir())[1]
    shutil.copy(true, true.with_name("00000001-ffffffff.json"))
    done = repair(copied, list(verify(copied)))
    assert [item.commit for item in done.dropped] == ["00000001-ffffffff.json"]
    assert len(list((copied.folder / "shards").iterdir())) == 3
    assert is_valid(copied)


def test_a_commit_of_a_later_actlas_is_left_alone(copied):
    damage_data(copied, 1)
    path = sorted((copied.folder / "commits").iterdir())[0]
    record = {"format": "actlas-commit", "version": 99, "file": "unknown"}
    path.unlink()
    path.write_bytes(canonical({**record, "checksum": checksum(canonical(record))}))
    done = repair(copied, list(verify(copied)))
    assert path.exists()
    assert "it is whole, but not understood" in done.left[0]
    assert [item.unit for item in done.dropped] == [1]


def test_what_cannot_be_opened_is_left_alone(copied):
    first, second, _ = shards(copied)
    first.unlink()
    first.symlink_to(first.name)
    second.unlink()
    second.mkdir()
    found = list(verify(copied))
    done = repair(copied, found)
    assert done.dropped == ()
    assert ["Too many levels" in done.left[0], "Is a directory" in done.left[1]] == [True, True]
    assert [item.problems for item in verify(copied)] == [item.problems for item in found]


def test_a_folder_of_shards_that_is_away_loses_nothing(copied):
    (copied.folder / "shards").rename(copied.folder / "elsewhere")
    done = repair(copied, list(verify(copied)))
    assert (done.dropped, len(done.left)) == ((), 3)
    (copied.folder / "elsewhere").rename(copied.folder / "shards")
    assert is_valid(copied)


@pytest.fixture
def open_folder():
    """A folder that other users may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_what_may_not_be_read_is_never_dropped(open_folder, copied):
    run = Run(Path(shutil.copytree(copied.folder, open_folder / copied.id)))
    for path in (run.folder, *run.folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o444)
    shards(run)[0].chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)  # nothing is forbidden to the administrator
    try:
        found = list(verify(run))
        done = repair(run, found)
    finally:
        os.seteuid(user)
    assert "Permission denied" in found[0].problems[0]
    assert done.dropped == ()
    assert "cannot be read (Permission denied)" in done.left[0]
    shards(run)[0].chmod(0o444)
    assert is_valid(run)


@pytest.mark.slow
def test_a_repair_killed_anywhere_leaves_damage_or_a_missing_unit(tmp_path):
    content = Content(units=((2,), (1,)), dtypes={"q": "float32"})
    run = make_run(tmp_path / "store", content, "it")
    damage_data(run, 0)
    imports = (
        "from actlas.store.maintenance.verify import verify\n"
        "from actlas.store.maintenance.repair import repair"
    )
    action = 'run = Store(store).run("it"); repair(run, list(verify(run)))'
    states = set()
    for path in killed_stores(tmp_path / "store", tmp_path / "killed", imports, action):
        killed = Store(path).run("it")
        missing = [unit.number for unit, _ in killed.missing(("q",))]
        states.add(
            (is_valid(killed), tuple(missing), len(list((killed.folder / "shards").iterdir())))
        )
        if not missing:
            continue
        assert write_unit(killed, content, 0, ("q",))
        killed.refresh()
        np.testing.assert_array_equal(killed.dataset(check=True)["q"].values, content.values["q"])
        assert len(list((killed.folder / "shards").iterdir())) == 2
    assert states == {(False, (), 2), (True, (0,), 2), (True, (0,), 1)}
