import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import StoreError
from tests.store.making import (
    Content,
    begin_run,
    fill,
    make_run,
    narrowed,
    open_shard,
    shards,
    write_unit,
)

FULL = """
import resource, signal, sys
from pathlib import Path
from actlas.store import StoreError
from tests.store.making import Content, open_shard
content, limit = Content(units=((60,),), sizes={"d_model": 300}), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    open_shard(Path(sys.argv[1]) / "a.h5", content, content.plan[0], content.dtypes)
except StoreError as error:
    print(error)
"""


def same(ours: xr.DataArray, theirs) -> None:
    assert ours.dims == theirs.dims
    np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Return a run of one unit: its shard is all of it."""
    return make_run(tmp_path_factory.mktemp("one") / "store", Content(units=((3, 1, 4),)))


def test_xarray_reads_the_same_as_the_run(one):
    ours = one.dataset()
    with xr.open_dataset(shards(one)[0], engine="h5netcdf") as theirs:
        for site in one.sites:
            same(ours[site], theirs[site].astype(np.float32))
            assert theirs[site].attrs["long_name"] == ours[site].attrs["long_name"] == f"the {site}"
            assert {"sentence", "position", "token_id"} <= set(theirs[site].coords)
        structural = set(ours.coords) - set(one.labels.columns) - {"text", "special"}
        assert {*structural, "row_size", "sentence_text"} == set(theirs.variables) - set(one.sites)
        for name in structural:
            same(ours[name], theirs[name])
        assert theirs["sentence_text"].dims == ("instance",)
        np.testing.assert_array_equal(
            theirs["sentence_text"].values.astype(object)[ours["sentence"]], ours["text"].values
        )


def test_h5py_reads_the_same_as_the_run(one, content):
    ours = one.dataset()
    with h5py.File(shards(one)[0]) as file:
        for site in one.sites:
            np.testing.assert_array_equal(file[site].astype(np.float32)[:], ours[site].values)
            scales = [dim[0].name for dim in file[site].dims]  # every dimension has its scale
            assert scales == [f"/{name}" for name in ours[site].dims]
        assert [bytes(row).rstrip(b"\0").decode() for row in file["sentence_text"][:]] == list(
            one.labels.text
        )
        assert file.attrs["Conventions"] == "CF-1.11"


def test_netcdf4_reads_the_same_as_the_run(tmp_path):
    content = Content(
        units=((3, 1, 4),), dtypes={"resid": "float32", "q": "float32", "nll": "float32"}
    )
    # float32 alone: netCDF4 1.7 crashes on half precision
    run = make_run(tmp_path / "store", content)
    ours = run.dataset()
    with netCDF4.Dataset(shards(run)[0]) as file:
        for name in (*run.sites, "sentence", "position", "token_id", "layer", "depth"):
            assert file[name].dimensions == ours[name].dims
            np.testing.assert_array_equal(np.asarray(file[name][:]), ours[name].values)
        table = run.sentence_labels()
        for name in ("row_size", "text"):
            stored = file[name if name == "row_size" else f"sentence_{name}"]
            assert stored.dimensions[0] == "instance"
            assert np.asarray(stored[:]).tolist() == table[name].values.tolist()


def test_equal_content_gives_equal_bytes(tmp_path, content):
    for unit in content.plan:
        for name in ("one", "two"):
            fill(
                open_shard(tmp_path / name, content, unit, content.dtypes),
                content,
                unit,
                content.dtypes,
            )
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        (tmp_path / "one").unlink()
        (tmp_path / "two").unlink()


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6), many=st.booleans())
def test_rows_may_come_in_any_pieces(cuts, many, tmp_path_factory):
    content = Content(units=((3000,),), dtypes={"nll": "float32"})
    values, unit = content.values["nll"], content.plan[0]
    writer = open_shard(tmp_path_factory.mktemp("pieces") / "a.h5", content, unit, ["nll"])
    edges = sorted({0, *cuts, 3000})
    for first, last in pairwise(edges):
        part = values[first:last]  # more buffers than one system call takes
        writer.write("nll", 0, last - first, np.array_split(part, len(part)) if many else [part])
    site = writer.finish().sites["nll"]
    np.testing.assert_array_equal(np.fromfile(writer.path, "<f4", 3000, offset=site.offset), values)


def test_restart_forgets_what_was_written(tmp_path, content):
    unit, sites = content.plan[0], ["q", "nll"]
    plain = fill(open_shard(tmp_path / "plain", content, unit, sites), content, unit, sites)
    writer = open_shard(tmp_path / "again", content, unit, sites)
    writer.write("nll", 0, unit.tokens, [np.full(unit.tokens, 7, np.float32)])
    writer.flush()
    writer.restart()
    assert fill(writer, content, unit, sites) == plain
    assert (tmp_path / "again").read_bytes() == (tmp_path / "plain").read_bytes()


def test_rows_that_do_not_fit_are_refused(tmp_path, content):
    unit = content.plan[0]
    writer = open_shard(tmp_path / "a.h5", content, unit, ["q"])
    rows = narrowed(content.values["q"][0, : unit.tokens], "float16")
    with pytest.raises(ValueError, match=r"q\[0\]: .* bytes for 2 tokens"):
        writer.write("q", 0, 2, [rows[:3]])
    writer.write("q", 0, unit.tokens, [rows])
    with pytest.raises(ValueError, match=r"q\[0\]"):
        writer.write("q", 0, 1, [rows[:1]])
    with pytest.raises(
        ValueError, match=r"not written to the end: \[\('q', 1\), \('q', 2\)\], 2 in all"
    ):
        writer.finish()
    writer.drop()
    assert not list(tmp_path.iterdir())


def test_drop_leaves_a_finished_shard_and_other_files_alone(tmp_path, content):
    unit = content.plan[1]
    writer = open_shard(tmp_path / "a.h5", content, unit, ["nll"])
    fill(writer, content, unit, ["nll"])
    writer.close(b"its record")
    writer.drop()
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(StoreError, match="File exists"):
        open_shard(tmp_path / "a.h5", content, unit, ["nll"])
    assert (tmp_path / "a.h5").read_bytes() == before


def test_writers_leave_no_descriptor_open(tmp_path, content):
    run = begin_run(tmp_path / "store", content)
    for unit in content.plan:
        write_unit(run, content, unit.number, ["q"])
    open_shard(tmp_path / "b.h5", content, content.plan[0], ["q"]).drop()
    # by where they lead: others of this process may be closed meanwhile
    leads = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert not [place for place in leads if place.startswith(str(tmp_path))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit", [0, 100, 4096, 100_000, 400_000]
)  # in HDF5's records, in the labels, in the bulk
def test_a_file_that_may_not_grow_is_one_line_and_no_file(limit, tmp_path, pytestconfig):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path, str(limit)],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("cannot reserve ") and done.stdout.endswith(
        "make room or use another --store\n"
    )
    assert done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_no_file(tmp_path):
    content = Content(units=((600,),), sizes={"d_model": 300})
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    try:
        with pytest.raises(
            StoreError, match=r"^cannot reserve 4.8 MB in .*: No space left on device: make room"
        ):
            open_shard(disk / "a.h5", content, content.plan[0], content.dtypes)
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
