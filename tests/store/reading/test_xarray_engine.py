"""xarray's own function opens a run: the same numbers, labels and index as ``Run.dataset``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from actlas.store import UsageError
from actlas.store.reading.xarray_engine import ActlasBackend
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection

ROOT = Path(__file__).parents[3]


def name_of(run):
    return f"{run.folder.parents[1]}::{run.name}"


@pytest.mark.parametrize("chunks", [None, {}])
def test_it_is_the_dataset_of_the_run(stored, chunks):
    expected = stored.dataset(("q", "resid", "nll"))
    found = xr.open_dataset(
        name_of(stored), engine=ActlasBackend, chunks=chunks, sites=("q", "resid", "nll")
    )
    assert (found["q"].chunks == expected["q"].chunks) == (chunks is not None)
    part = {"layer": [0, 2], "token": np.array([5, 1, 3]), "head": 1}
    xr.testing.assert_equal(found["q"].isel(part), expected["q"].isel(part).compute())
    xr.testing.assert_equal(found.sel(sentence=2), expected.sel(sentence=2).compute())
    xr.testing.assert_identical(found.drop_attrs(), expected.compute().drop_attrs())


def test_nothing_is_read_before_it_is_asked_for(stored, forbid_compute):
    found = xr.open_dataset(name_of(stored), engine=ActlasBackend, drop_variables="q")
    assert "q" not in found
    assert "resid" in found
    assert found["resid"].isel(depth=0).shape


def test_an_export_and_what_is_neither(stored, tmp_path):
    export(stored, tmp_path / "some.h5", Selection(sites=("nll",)))
    found = xr.open_dataset(tmp_path / "some.h5", engine=ActlasBackend)
    np.testing.assert_array_equal(found["nll"], stored["nll"])
    with pytest.raises(UsageError, match='expected "STORE::RUN" or the path of an export'):
        xr.open_dataset("nowhere.zarr", engine=ActlasBackend)
    with pytest.raises(UsageError, match="unknown run 'none'"):
        xr.open_dataset(f"{stored.folder.parents[1]}::none", engine=ActlasBackend)


def test_ordinary_files_are_left_to_others(stored, tmp_path):
    (tmp_path / "a.nc").write_bytes(b"")
    guess = ActlasBackend().guess_can_open
    assert not any(map(guess, (tmp_path / "a.nc", "b.h5", b"bytes", "s3://x::y", "a::b")))
    assert guess(name_of(stored))


@pytest.mark.slow
def test_xarray_finds_the_engine_where_the_package_is_installed(stored, tmp_path):
    pytest.importorskip("setuptools", reason="installs the package")
    # pip leaves a folder of what it built beside the source
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns(".*", "tests", "docs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps"]
    where = ["--no-index", "--quiet", "--disable-pip-version-check", "--target", tmp_path / "site"]
    done = subprocess.run([*pip, *where, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = f"import xarray; print(xarray.open_dataset({name_of(stored)!r}).sizes['token'])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code]
    shown = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (shown.stdout.strip(), shown.returncode) == (str(stored.tokens), 0), shown.stderr
