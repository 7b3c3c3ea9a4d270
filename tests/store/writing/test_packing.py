import subprocess
import sys

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run, Store
from actlas.store.maintenance.gc import collect
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.writing.export import export
from actlas.store.writing.pack import Packed, pack
from tests.store.killing import killed_stores
from tests.store.making import Content, begin_run, contents, flip, make_run, shards, write_unit


def files(run) -> set[str]:
    return {path.name for path in (run.folder / "shards").iterdir()}


def is_valid(run) -> bool:
    return not any(item.problems for item in verify(run))


def test_a_packed_run_reads_as_before_from_one_file(copied, content, tmp_path):
    before = copied.dataset().load()
    record, (run_json,) = (copied.folder / "run.json").read_bytes(), copied.folder.glob("run.json")
    done = pack(copied)
    assert (done.before, done.after, done.units) == (3, 1, 3)
    assert len(files(copied)) == 1
    assert run_json.read_bytes() == record
    again = Run(copied.folder)
    for run in (copied, again):
        xr.testing.assert_equal(run.dataset(check=True).load(), before)
    assert is_valid(again)
    assert (
        sum(item.nbytes for item in verify(again))
        == again.nbytes
        == shards(again)[0].stat().st_size
    )
    assert [commit.provenance for commit in again.commits] == [{"by": "a test"}] * 3
    assert list((copied.folder / "tmp").iterdir()) == []
    assert pack(again) == Packed(1, 1, 0)
    export(again, tmp_path / "her.h5")
    xr.testing.assert_equal(export(again, tmp_path / "her.h5")[0].dataset(), before)


def test_a_packed_shard_is_an_ordinary_file(tmp_path):
    content = Content(dtypes={"resid": "float32", "q": "float32", "nll": "float32"})
    run = make_run(tmp_path / "store", content)
    pack(run)
    with xr.open_dataset(shards(run)[0], engine="h5netcdf") as opened:
        for site, values in content.values.items():
            np.testing.assert_array_equal(opened[site], values)
        assert [str(text) for text in opened["sentence_text"].values] == list(content.labels.text)
    with netCDF4.Dataset(shards(run)[0]) as file:
        np.testing.assert_array_equal(file["q"][:], content.values["q"])


@pytest.mark.slow
@settings(max_examples=30)
@given(data=st.data(), content=contents())
def test_packing_in_any_state_changes_no_value(data, content, tmp_path_factory):
    """Units missing, sites in one or in two commits, packed twice with any limit.

    Extracted further in between.
    """
    run = begin_run(tmp_path_factory.mktemp("packed") / "store", content, "it")
    sites = list(content.dtypes)
    parts = [sites[:1], sites[1:]] if data.draw(st.booleans()) and len(sites) > 1 else [sites]
    work = [(unit.number, part) for unit in content.plan for part in parts]
    for number, part in data.draw(st.permutations(work)):
        write_unit(run, content, number, part)
        if data.draw(st.integers(0, 3)) == 0:
            pack(run, data.draw(st.sampled_from([1, 200, 1000, 1 << 30])))
    run.refresh()
    pack(run, data.draw(st.sampled_from([1, 500, 1 << 30])))
    assert run.missing(sites) == []
    assert len(run.commits) == len(work)
    assert files(run) == {commit.file for commit in run.commits}
    assert is_valid(run)
    for site, array in run.dataset(check=True).data_vars.items():
        np.testing.assert_array_equal(array.values, content.values[site])


def test_the_limit_is_kept_and_nothing_is_done_twice(copied):
    pack(copied, 1)
    assert len(files(copied)) == 3
    sizes = [sum(site.layout.nbytes for site in commit.sites.values()) for commit in copied.commits]
    assert pack(copied, sizes[0] + sizes[1]).units == 2
    assert len(files(copied)) == 2
    assert pack(copied, sizes[0] + sizes[1]).units == 0


def test_an_altered_shard_is_not_packed(copied):
    before = {path: path.read_bytes() for path in (copied.folder / "commits").iterdir()}
    for offset in (copied.commits[1].sites["q"].offset, copied.commits[1].labels["text"].offset):
        flip(shards(copied)[1], offset)
        with pytest.raises(DamagedStore, match="altered"):
            pack(copied)
        flip(shards(copied)[1], offset)
    assert {path: path.read_bytes() for path in (copied.folder / "commits").iterdir()} == before
    assert len(files(copied)) == 3
    assert list((copied.folder / "tmp").iterdir()) == []
    assert is_valid(copied)


def test_damage_in_a_packed_file_costs_the_unit_it_lies_in(copied, content):
    pack(copied)
    site = copied.commits[1].sites["q"]
    flip(shards(copied)[1], site.place(2))
    found = [item.problems for item in verify(copied)]
    assert [len(problems) for problems in found] == [0, 1, 0]
    assert "q[layer 2] was altered" in found[1][0]
    assert [item.unit for item in repair(copied, list(verify(copied))).dropped] == [1]
    assert is_valid(copied)
    assert write_unit(copied, content, 1, tuple(content.dtypes))
    copied.refresh()
    assert pack(copied).after == 1
    for name, array in copied.dataset(check=True).data_vars.items():
        np.testing.assert_array_equal(array.values, content.values[name])
    flip(shards(copied)[0], copied.commits[2].labels["text"].offset)
    assert [len(item.problems) for item in verify(copied)] == [0, 0, 1]


def test_who_has_the_run_open_is_reported_to_open_it_again(copied, content):
    reader = Run(copied.folder)
    dataset = reader.dataset(["q"])
    pack(copied)
    with pytest.raises(DamagedStore, match=r"is missing: .* open the run again if it was packed"):
        dataset["q"].load()
    reader.refresh()
    np.testing.assert_array_equal(reader.dataset(["q"])["q"], content.values["q"])


def test_a_verification_that_began_before_costs_nothing(copied):
    old = [
        item.__class__(item.commit, item.nbytes, ("its shard was packed away meanwhile",))
        for item in verify(copied)
    ]
    pack(copied)
    done = repair(copied, old)
    assert (done.dropped, done.left) == ((), ())
    assert is_valid(copied)


@pytest.mark.slow
def test_a_packing_killed_anywhere_leaves_every_unit_whole(tmp_path):
    content = Content(units=((2,), (1, 3), (1,)), dtypes={"q": "float16", "nll": "float32"})
    make_run(tmp_path / "store", content, "it")
    action = 'pack(Store(store).run("it"))'
    stores = killed_stores(
        tmp_path / "store",
        tmp_path / "killed",
        "from actlas.store.writing.pack import pack",
        action,
    )
    counts = set()
    for path in stores:
        run = Store(path).run("it")
        counts.add(len({commit.file for commit in run.commits}))
        assert is_valid(run)
        assert run.missing(("q", "nll")) == []
        for site, array in run.dataset(check=True).data_vars.items():
            np.testing.assert_array_equal(array.values, content.values[site])
        collect(run_store := Store(path))
        assert files(run_store.run("it")) == {commit.file for commit in run.commits}
        assert pack(run).after == 1
        assert is_valid(run)
    assert counts == {1, 3}  # a file counts for all its units at once
    assert len(stores) > 20


PACKER = """
import sys
from pathlib import Path
from actlas.store import Run
from actlas.store.writing.pack import Packed, pack
pack(Run(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_packers_at_once_leave_one_sound_run(tmp_path, pytestconfig):
    content = Content(units=tuple((3, 2) for _ in range(12)), dtypes={"q": "float32"})
    run = make_run(tmp_path / "store", content, "it")
    command = [sys.executable, "-c", PACKER, run.folder]
    processes = [
        subprocess.Popen(command, cwd=pytestconfig.rootpath, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [
        error for error in errors if error and "is missing" not in error
    ] == []  # one may find its source packed already
    run.refresh()
    assert is_valid(run)
    np.testing.assert_array_equal(run.dataset(check=True)["q"], content.values["q"])
    assert pack(run).after == 1


def test_commits_of_one_unit_say_what_they_always_said(stored):
    for path in (stored.folder / "commits").iterdir():
        assert b"bulk" not in path.read_bytes()
        assert b"stride" not in path.read_bytes()


def test_units_whose_sites_differ_in_shape_are_not_joined(tmp_path):
    """As attention patterns may, whose keys are as many as the longest sentence has tokens."""
    narrow, wide = (
        Content(units=((2,), (3,), (1,)), dtypes={"q": "float32"}, sizes={"d_head": size})
        for size in (4, 6)
    )
    run = begin_run(tmp_path / "store", narrow)
    for number, content in enumerate((narrow, wide, narrow)):
        write_unit(run, content, number, ("q",))
    run.refresh()
    assert pack(run) == Packed(3, 2, 2)
    assert is_valid(run)
    with pytest.raises(DamagedStore, match="has q in another shape than"):
        export(run, tmp_path / "q.h5")


def test_a_byte_in_the_labels_of_a_unit_costs_that_unit_alone(copied, content):
    pack(copied)
    flip(shards(copied)[0], copied.commits[1].labels["char_start"].offset)
    assert [len(item.problems) for item in verify(copied)] == [0, 1, 0]
    assert "label char_start was altered" in next(
        item.problems[0] for item in verify(copied) if item.problems
    )
    with pytest.raises(DamagedStore, match=r"labels were altered \(char_start of unit 1"):
        Run(copied.folder).dataset()
    assert [item.unit for item in repair(copied, list(verify(copied))).dropped] == [1]
    assert is_valid(copied)
    assert [unit.number for unit, _ in copied.missing(content.dtypes)] == [1]


@pytest.mark.parametrize("packing", [False, True])
def test_a_byte_in_hdf5s_records_costs_no_unit_and_the_file_is_written_again(
    packing, copied, content
):
    if packing:
        pack(copied)
    path, before = shards(copied)[0], Run(copied.folder).dataset().load()
    flip(path, 9)
    found = list(verify(copied))
    assert [(item.kind, item.commit) for item in found if item.problems] == [("file", path.name)]
    assert Run(copied.folder).dataset().load().identical(before)  # no number is read by them
    done = repair(copied, found)
    assert (done.dropped, done.left, len(done.rewritten)) == ((), (), 1)
    assert is_valid(copied)
    assert not path.exists()
    assert copied.missing(content.dtypes) == []
    assert Run(copied.folder).dataset().load().identical(before)
    with h5py.File(shards(copied)[0]) as file:
        np.testing.assert_array_equal(file["nll"][:], content.values["nll"][: file["nll"].size])
    assert repair(copied, list(verify(copied))).rewritten == ()


def test_a_file_with_both_kinds_of_damage_keeps_its_other_units(copied):
    pack(copied)
    path = shards(copied)[0]
    flip(path, 9)
    flip(path, copied.commits[2].sites["q"].offset)
    done = repair(copied, list(verify(copied)))
    assert ([item.unit for item in done.dropped], len(done.rewritten)) == ([2], 1)
    assert is_valid(copied)
    assert [commit.unit.number for commit in copied.commits] == [0, 1]


@pytest.mark.slow
def test_a_repair_of_hdf5s_records_killed_anywhere_loses_nothing(tmp_path):
    content = Content(units=((2,), (1,)), dtypes={"q": "float32"})
    run = make_run(tmp_path / "store", content, "it")
    pack(run)
    flip(shards(run)[0], 9)
    imports = (
        "from actlas.store.maintenance.verify import verify\n"
        "from actlas.store.maintenance.repair import repair"
    )
    action = 'run = Store(store).run("it"); repair(run, list(verify(run)))'
    for path in killed_stores(tmp_path / "store", tmp_path / "killed", imports, action):
        killed = Store(path).run("it")
        np.testing.assert_array_equal(killed.dataset()["q"], content.values["q"])
        repair(killed, list(verify(killed)))
        assert is_valid(killed)
        np.testing.assert_array_equal(killed.dataset()["q"], content.values["q"])
