"""Histograms against NumPy on the whole array.

Then the study from the command line to the report.
"""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.groups.choice import GroupChoice
from actlas.analysis.groups.selection import chosen_groups
from actlas.analysis.histogram.compute import OUTER, value_histogram
from tests import commands, strategies
from tests.small_model import TEXTS

GROUPS = {FIRST: [0], LATER: [1, 2, 3, 4, 5], "empty": []}


def groups():
    return {name: np.array(tokens, dtype=np.int64) for name, tokens in GROUPS.items()}


def drawn(seed=0, shape=(3, 6, 50)):
    values = np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32)
    return xr.DataArray(values, dims=("layer", "token", "d_mlp"))


@pytest.mark.slow
@given(st.integers(0, 5), st.sampled_from([2, 7, 60]), st.data())
def test_counts_and_moments_are_those_of_numpy_for_any_split(seed, bins, data):
    plain = drawn(seed)
    split = data.draw(strategies.splits(6))
    got = value_histogram(plain.chunk({"layer": 1, "token": split}), groups(), bins=bins).compute()
    for layer in range(3):
        edges = got["bin_edge"].values[layer]
        ends = np.quantile(plain.values[layer].astype(np.float64), OUTER)
        np.testing.assert_allclose(edges[[0, -1]], ends)
        for name, tokens in groups().items():
            values = plain.values[layer, tokens].astype(np.float64).ravel()
            here = got.sel(group=name).isel(layer=layer)
            np.testing.assert_array_equal(here["count"], np.histogram(values, edges)[0])
            if not len(tokens):
                assert np.isnan(here["mean"])
                continue
            away = values - values.mean()
            wanted = values.mean(), values.std(), (away**3).mean() / values.std() ** 3
            found = [float(here[moment]) for moment in ("mean", "std", "skew")]
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
            inside = float((here["density"] * np.diff(edges)).sum())
            np.testing.assert_allclose(inside + float(here["outside"]), 1)


def test_the_distance_is_how_far_a_group_was_moved():
    values = np.random.default_rng(0).uniform(0, 1, (1, 40, 500)).astype(np.float32)
    values[:, 20:] += 0.25
    plain = xr.DataArray(values, dims=("layer", "token", "d_mlp")).chunk({"token": 7})
    members = {LATER: np.arange(20), "moved": np.arange(20, 40)}
    found = value_histogram(plain, members, bins=400)["distance"].compute()
    assert found.sel(group=LATER).item() == 0
    np.testing.assert_allclose(found.sel(group="moved"), 0.25, rtol=0.02)


def test_zeros_are_counted_and_a_layer_of_one_value_has_bins():
    plain = xr.zeros_like(drawn()).chunk({"layer": 1})
    found = value_histogram(plain, groups(), bins=4).compute()
    assert (found["share_zero"].sel(group=LATER) == 1).all()
    assert (found["std"].sel(group=LATER) == 0).all()
    assert (found["count"].sel(group=LATER).sum("bin") == 250).all()


def test_heads_are_counted_together():
    plain = drawn(shape=(2, 6, 50))
    heads = xr.DataArray(plain.values.reshape(2, 6, 5, 10), dims=("layer", "token", "head", "d"))
    one = value_histogram(plain.chunk({"layer": 1}), groups(), bins=9).compute()
    other = value_histogram(heads.chunk({"layer": 1}), groups(), bins=9).compute()
    xr.testing.assert_allclose(one, other)


def test_lengths_are_those_of_the_tokens_characters():
    labels = strategies.labels(["See the horses", "And the horse"])
    found = chosen_groups(labels, GroupChoice(lengths=True))
    assert {name: tokens.tolist() for name, tokens in found.items()} == {
        "length 3-4": [1, 4],
        "length 5-6": [2, 5],
    }


@pytest.fixture(scope="module")
def stored(small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("histogram")
    (folder / "her.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    (folder / "its.toml").write_text(
        f'[model]\nname = "{small_model}"\n[runs.it]\nsentences = "her.txt"\n'
        '[analyses.histogram]\nsite = "q"\nby_length = true\nbins = 20\n'
    )
    done = commands.run(folder, "study", "run", "its.toml", "--store", "store", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder


def test_it_is_a_stage_and_a_section(stored):
    page = (stored / "actlas-its/report.html").read_text()
    assert "How are values distributed?" in page
    assert "Histograms by layer, a line for each group of tokens" in page
    assert "q: standard deviation of later tokens" in page
    states = commands.run(stored, "study", "check", "its.toml", "--store", "store", "--json")
    assert json.loads(states.stdout)["analyses"] == {"histogram": "up to date"}


@pytest.mark.slow
def test_it_is_a_command(stored):
    arguments = ["histogram", "her-model", "--store", "store", "--out", "out"]
    name = commands.run(stored, "ls", "--store", "store").stdout.splitlines()[1].split()[0]
    arguments[1] = name
    done = commands.run(stored, *arguments, "--target", "her")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("resid: standard deviation of later tokens")
    (path,) = (stored / "out").glob("histogram-resid-her-*.nc")
    with xr.open_dataset(path, engine="h5netcdf") as result:
        assert {"target", "control"} <= set(result["group"].values)
    record = json.loads(commands.run(stored, *arguments, "--json").stdout)
    assert set(record["std"]) == {FIRST, LATER}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--site", "nll"], "'nll' is not one of"),
        (["--bins", "1"], "--bins"),
        (["--by", "kind"], "unknown label column 'kind'"),
    ],
)
def test_bad_input_is_one_line(stored, options, message):
    name = commands.run(stored, "ls", "--store", "store").stdout.splitlines()[1].split()[0]
    done = commands.run(stored, "histogram", name, "--store", "store", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
