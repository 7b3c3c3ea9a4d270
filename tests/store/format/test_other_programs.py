"""Shards and exports in the hands of other programs.

No variable takes the name of a dimension that it does not lie on.
"""

import shutil
import subprocess

import netCDF4
import numpy as np
import pytest

from actlas.store import Run
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from tests.store.making import Content, make_run, make_variant, shards

SITES = {"resid": "float32", "q": "float32", "nll": "float32"}
CONTENT = Content(dtypes=SITES)
DIMS = {
    **dict.fromkeys(("sentence", "position", "token_id", "char_start", "char_end"), ("token",)),
    "row_size": ("instance",),
    "sentence_text": ("instance", "text_bytes"),
    "layer": ("layer",),
    "depth": ("depth",),
    "resid": ("depth", "token", "d_model"),
    "q": ("layer", "token", "head", "d_head"),
    "nll": ("token",),
}
#: an export's, which holds the columns too
COLUMNS = {
    **dict.fromkeys(("sentence_year", "sentence_score", "sentence_origin_length"), ("instance",)),
    "sentence_origin": ("sentence_origin_bytes",),
}
R = """
library(ncdf4)
file <- nc_open(commandArgs(trailingOnly = TRUE)[1])
for (name in names(file$var)) {
    dims <- sapply(file$var[[name]]$dim, function(dim) dim$name)
    cat(name, rev(dims), "\\n")
}
cat("mean", format(mean(ncvar_get(file, "resid")), digits = 15), "\\n")
"""


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def dims_of(path):
    return DIMS | (COLUMNS if path.name == "export.nc" else {})


def output_of(*command):
    """Run a program; return what it says; it may neither fail nor complain."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("others") / "store", CONTENT, edits=[])


@pytest.fixture(params=["shard", "packed", "variant", "export", "part"])
def file(request, run, tmp_path):
    """Path of a file, and its tokens along the run."""
    copied = Run(shutil.copytree(run.folder.parents[1], tmp_path / "store") / "runs" / run.id)
    if request.param == "shard":
        return shards(copied)[0], np.arange(8)
    if request.param == "variant":
        return shards(make_variant(tmp_path / "store", copied, CONTENT))[0], np.arange(8)
    if request.param == "packed":
        pack(copied)
        return shards(copied)[0], np.arange(16)
    tokens = np.array([0, 1, 5, 6, 9]) if request.param == "part" else None
    export(copied, tmp_path / "export.nc", Selection(tokens=tokens))
    return tmp_path / "export.nc", np.arange(16) if tokens is None else tokens


def test_netcdf_sees_each_variable_on_its_own_dimensions(file):
    path, tokens = file
    with netCDF4.Dataset(path) as opened:
        found = {name: variable.dimensions for name, variable in opened.variables.items()}
        assert dims_of(path).items() <= found.items()
        assert all(dims == (name,) for name, dims in found.items() if name in opened.dimensions)
        assert all(
            isinstance(text, str) for name in SITES for text in opened[name].__dict__.values()
        )
        assert opened["row_size"].sample_dimension == "token"
        np.testing.assert_array_equal(
            opened["row_size"][:], np.unique(opened["sentence"][:], return_counts=True)[1]
        )
        first = opened["depth"][0]
        np.testing.assert_array_equal(opened["resid"][:], CONTENT.values["resid"][first:, tokens])
    assert b"_nc4_non_coord_" not in path.read_bytes()


@needs("ncks")
def test_nco_lists_cuts_and_averages(file, tmp_path):
    path, tokens = file
    listed = output_of("ncks", "-m", path)
    for name, dims in dims_of(path).items():
        assert f" {name}({','.join(dims)}) ;" in listed
    output_of("ncks", "-O", "-d", "token,1,3", path, tmp_path / "cut.nc")
    output_of("ncwa", "-O", "-a", "token", path, tmp_path / "mean.nc")
    with netCDF4.Dataset(tmp_path / "cut.nc") as cut, netCDF4.Dataset(tmp_path / "mean.nc") as mean:
        first = cut["depth"][0]
        values = CONTENT.values["resid"][first:, tokens]
        np.testing.assert_array_equal(cut["resid"][:], values[:, 1:4])
        np.testing.assert_allclose(mean["resid"][:], values.mean(1), rtol=1e-5, atol=1e-6)


@needs("cdo")
def test_cdo_tells_what_is_in_it(file):
    """It is made for fields on the globe.

    It warns that it leaves out texts and what has more than three dims.
    """
    path, tokens = file
    names, values = (
        subprocess.run(
            ["cdo", "-s", *command, path], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        for command in (["showname"], ["outputf,%.9g,1", "-selname,nll"])
    )
    assert {"nll", "resid", "row_size"} <= set(names.split())
    np.testing.assert_allclose(
        np.array(values.split(), dtype=float), CONTENT.values["nll"][tokens], rtol=1e-6
    )


@needs("Rscript")
def test_r_reads_it(file):
    path, tokens = file
    if subprocess.run(["Rscript", "-e", "library(ncdf4)"], capture_output=True).returncode:
        pytest.skip("R's ncdf4 is not installed")
    lines = [line.split() for line in output_of("Rscript", "-e", R, path).splitlines()]
    found = {name: tuple(dims) for name, *dims in lines}
    mean = float(*found.pop("mean"))
    assert {
        name: dims for name, dims in dims_of(path).items() if dims != (name,)
    }.items() <= found.items()
    with netCDF4.Dataset(path) as opened:
        first = opened["depth"][0]
    np.testing.assert_allclose(
        mean, CONTENT.values["resid"][first:, tokens].mean(dtype=np.float64), rtol=1e-6
    )


def test_columns_that_have_a_file_of_their_own_are_read_too(run):
    (path,) = (run.folder / "labels").glob("*.h5")
    with netCDF4.Dataset(path) as opened:
        assert {name: variable.dimensions for name, variable in opened.variables.items()} == COLUMNS
        np.testing.assert_array_equal(opened["sentence_year"][:], CONTENT.labels.columns["year"])
    if shutil.which("ncks"):
        assert " sentence_origin(sentence_origin_bytes) ;" in output_of("ncks", "-m", path)
