"""Variance against NumPy and its laws; nothing is computed before it is asked for."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.groups.resampling import bounds, resampling
from actlas.analysis.results.files import save_result, with_provenance
from actlas.analysis.variance.compute import token_variance, variance_draws, variance_profile
from tests import strategies
from tests.extraction import extract_texts
from tests.small_model import TEXTS


@given(strategies.activations())
def test_agrees_with_numpy(activations):
    got = token_variance(activations)
    wide = activations.values.astype(np.float64)
    np.testing.assert_allclose(got["variance"], wide.var(axis=1, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got["mean"], wide.mean(axis=1), rtol=1e-9, atol=1e-12)
    assert got["variance"].dims == ("layer", "head", "d_head")


@given(strategies.activations(), st.floats(-100, 100))
def test_a_constant_added_changes_nothing_and_a_constant_has_none(activations, constant):
    wide = activations.astype(np.float64)
    np.testing.assert_allclose(
        token_variance(wide + constant)["variance"],
        token_variance(wide)["variance"],
        rtol=1e-6,
        atol=1e-6,
    )
    assert not token_variance(xr.full_like(activations, constant))["variance"].values.any()


def test_chunks_over_tokens_change_nothing():
    values = xr.DataArray(
        np.random.default_rng(0).normal(1e4, 1e-1, (2, 50, 3)).astype(np.float32),
        dims=("layer", "token", "d"),
    )
    whole, parts = token_variance(values), token_variance(values.chunk({"layer": 1, "token": 7}))
    assert parts["variance"].chunks is not None
    np.testing.assert_array_equal(parts["variance"], whole["variance"])


def test_half_precision_is_widened_first():
    values = xr.DataArray(np.array([6e4, -6e4, 6e4], dtype=np.float16), dims="token")
    np.testing.assert_allclose(
        token_variance(values)["variance"], np.array([6e4, -6e4, 6e4]).var(ddof=1), rtol=1e-3
    )


def test_one_token_has_no_variance():
    with pytest.raises(ValueError, match="1 tokens, expected 2"):
        token_variance(xr.DataArray([[1.0]], dims=("layer", "token")))


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    return extract_texts(
        tmp_path_factory.mktemp("variance") / "store",
        small_model,
        TEXTS,
        ("q", "k", "v"),
        unit_tokens=60,
    )[0]


def test_profile_equals_the_plain_way(run):
    dataset = run.dataset()
    selection = select_tokens(dataset, Target("her"))
    result = variance_profile(dataset, selection).compute()
    for group, tokens in selection.groups.items():
        for projection in ("q", "k", "v"):
            # (layer, pair, head, d_head)
            chosen = dataset[projection].values[:, tokens].astype(np.float64)
            where = {"group": group, "projection": projection}
            np.testing.assert_allclose(
                result[f"feature_variance_{projection}"].sel(group=group),
                chosen.var(axis=1, ddof=1),
                rtol=1e-9,
            )
            np.testing.assert_allclose(
                result["variance"].sel(where), chosen.var(axis=1, ddof=1).mean((1, 2)), rtol=1e-9
            )
            np.testing.assert_allclose(
                result["mean"].sel(where), chosen.mean((1, 2, 3)), rtol=1e-6, atol=1e-9
            )
    assert result["variance"].dims == ("group", "projection", "layer")
    assert result["feature_mean_q"].dims == ("group", "layer", "head", "d_head")


def test_bootstrap_equals_resampling(run):
    """The weighted sums are the variances of sentences drawn again and again.

    This holds for words that occur more than once too.
    """
    dataset = run.dataset()
    selection = dataclasses.replace(
        select_tokens(dataset, Target("her")), sentence=np.array([0, 1, 1, 3, 4])
    )
    again = resampling(selection.clusters, resamples=40, seed=3)
    draws = variance_draws(dataset, selection, again)
    got = bounds(draws).sel(group="control", projection="k").values
    drawn = np.random.default_rng(3).multinomial(4, np.full(4, 1 / 4), 40)
    # (layer, pair, head, d_head)
    rows = dataset["k"].values[:, selection.control_token].astype(np.float64)
    members = [np.repeat(np.arange(5), weights[[0, 1, 1, 2, 3]]) for weights in drawn]
    variances = [rows[:, chosen].var(axis=1, ddof=1).mean((1, 2)) for chosen in members]
    np.testing.assert_allclose(got, np.percentile(variances, [2.5, 97.5], axis=0), rtol=1e-9)


def test_bootstrap_follows_its_seed_and_holds_the_variance(run):
    dataset = run.dataset()
    selection = select_tokens(dataset, Target("her"))
    found = [resampling(selection.clusters, resamples=200, seed=seed) for seed in (1, 1, 2)]
    one, again, other = (bounds(variance_draws(dataset, selection, each)) for each in found)
    xr.testing.assert_identical(one, again)
    assert not one.equals(other)
    assert (one.sel(bound="lower") < variance_profile(dataset, selection)["variance"]).all()


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing(run):
    dataset = run.dataset()
    selection = select_tokens(dataset, Target("her"))
    assert variance_profile(dataset, selection)["variance"].chunks is not None
    drawn = resampling(selection.clusters, resamples=10, seed=0)
    assert bounds(variance_draws(dataset, selection, drawn)).chunks is not None


def test_result_round_trip(run, tmp_path):
    dataset = run.dataset()
    result = variance_profile(dataset, select_tokens(dataset, Target("her")))
    result = with_provenance(
        result, stage="variance", runs=[run.id], options={"word": "her", "seed": 0}
    )
    save_result(result, tmp_path / "out" / "variance.nc")
    with xr.open_dataset(tmp_path / "out" / "variance.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), result.compute())
        assert read.attrs["runs"] == run.id
    with xr.open_dataset(tmp_path / "out" / "variance.nc", engine="netcdf4") as read:
        np.testing.assert_array_equal(read["variance"], result["variance"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["variance.nc"]
