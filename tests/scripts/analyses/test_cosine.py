"""``actlas cosine`` on a real store: files, table, matrix, and what cannot be studied."""

import json

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.declaring.layers import parse_layers
from actlas.store.errors import UsageError
from tests.answers import answer, endings


@pytest.mark.slow
def test_cosine_writes_result_figures_and_table(actlas, store, tmp_path):
    asked = "cosine it --store store --target her --out out --layers 0,2 --save-matrix"
    done = actlas(*asked.split())
    assert done.returncode == 0, done.stderr
    figures = {
        f"{kind}.{form}"
        for kind in ("", "_heatmap", "_profile", "_matrix")
        for form in ("png", "svg")
    }
    assert endings(tmp_path / "out", "cosine") == {".nc", "_matrix.nc", *figures}
    path = answer(tmp_path / "out", "cosine")
    with xr.open_dataset(path, engine="h5netcdf") as result:
        assert result["layer"].values.tolist() == [0, 2]
        assert result.attrs["runs"] == store.run("it").id
        assert (
            f"{float(result['mean_abs'].sel(group='target', projection_pair='QQ', layer=2)):.3f}"
            in done.stdout
        )
        counted = result["count"].sum("bin")
        np.testing.assert_array_equal(counted, result["pairs"] - result["undefined"])
        mean_abs = result["mean_abs"].load()
    with xr.open_dataset(
        path.with_name(f"{path.stem}_matrix.nc"), engine="h5netcdf", chunks={}
    ) as matrix:
        block = (
            matrix["cosine"]
            .sel(group="control", layer=2)
            .values[matrix["projection"].values == "q"]
        )
        between = block[:, matrix["other_projection"].values == "v"]
    np.testing.assert_allclose(
        np.abs(between).mean(),
        mean_abs.sel(group="control", projection_pair="QV", layer=2),
        rtol=1e-5,
    )


@pytest.mark.slow
def test_json_parses(actlas, store):
    done = actlas(
        "cosine", "it", "--store", "store", "--target", "her", "--json", "--center", "--bins", "7"
    )
    record = json.loads(done.stdout)
    assert record["run"] == store.run("it").id
    assert set(record["mean_abs"]["target"]) == {"QQ", "KK", "VV", "QK", "QV", "KV"}
    assert len(record["mean_abs"]["target"]["QQ"]) == 3


@pytest.mark.usefixtures("store", "sentence_file")
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "hers"], 1, "occurs in none of the 5 sentences: near to it are her"),
        (["--target", "rain"], 1, "1 pair of 'rain'"),
        (["--target", "Mary"], 1, "0 pairs of 'Mary'"),
        (
            ["--target", "her", "--layers", "0,3"],
            2,
            "3 is not within 0-2, the layers that are stored",
        ),
        (["--target", "her", "--layers", "x"], 2, "'x' is neither a layer nor a range"),
        (["--target", "her", "--bins", "0"], 2, "--bins"),
        (["--target", "her", "--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_cannot_be_studied_is_one_line(actlas, tmp_path, options, code, message):
    done = actlas("cosine", "it", "--store", "store", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "actlas-results").exists()


def test_run_without_its_sites_says_how_to_add_them(actlas, small_model, sentence_file):
    actlas(
        "extract",
        sentence_file,
        "--model",
        small_model,
        "--store",
        "store",
        "--name",
        "it",
        "--site",
        "q",
        "--site",
        "v",
    )
    done = actlas("cosine", "it", "--store", "store", "--target", "her")
    assert done.returncode == 2
    assert "`actlas extract … --site k` adds it" in done.stderr


@pytest.mark.parametrize(
    ("text", "layers"), [(None, [0, 1, 2, 3]), ("2", [2]), ("3,0-1, 1", [0, 1, 3])]
)
def test_layers(text, layers):
    assert parse_layers(text, range(4)) == layers


@pytest.mark.parametrize("text", ["", "4", "1-4", "2-1", "-1", "1,,2", "1.5"])
def test_wrong_layers(text):
    with pytest.raises(UsageError, match="--layers"):
        parse_layers(text, range(4))


@pytest.mark.parametrize(("text", "layers"), [(None, [3, 7, 8]), ("7", [7]), ("3,7-8", [3, 7, 8])])
def test_layers_of_an_export_keep_their_numbers(text, layers):
    assert parse_layers(text, [3, 7, 8]) == layers


@pytest.mark.parametrize("text", ["0", "3-7", "3-999999999"])
def test_layers_that_an_export_lacks(text):
    with pytest.raises(UsageError, match="is not within 3,7-8, the layers that are stored"):
        parse_layers(text, [3, 7, 8])
