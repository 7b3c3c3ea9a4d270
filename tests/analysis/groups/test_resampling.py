"""Intervals by clusters against drawing them plainly; chance against random columns."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.groups import resampling as module
from actlas.analysis.groups.resampling import (
    bounds,
    chance_cosine,
    mean_draws,
    resampling,
    with_intervals,
)
from actlas.store.errors import UsageError

GROUPS = {"one": np.array([0, 1, 2, 5]), "two": np.array([3, 4, 6])}
CLUSTERS = {"one": np.array([0, 0, 1, 7]), "two": np.array([1, 7, 7])}


@pytest.fixture
def values():
    drawn = np.random.default_rng(1).normal(size=(2, 7, 3))
    return xr.DataArray(drawn, dims=("layer", "token", "head"))


def test_means_are_those_of_clusters_drawn_again(values):
    drawn = resampling(CLUSTERS, resamples=50, seed=3)
    draws = np.random.default_rng(3).multinomial(3, np.full(3, 1 / 3), 50)
    got = mean_draws(values.chunk({"layer": 1, "token": 3}), GROUPS, drawn)
    assert got.dims == ("resample", "group", "layer", "head")
    assert got.chunks is not None
    for name, tokens in GROUPS.items():
        code = np.searchsorted([0, 1, 7], CLUSTERS[name])
        for resample, times in enumerate(draws):
            rows = np.repeat(tokens, times[code])
            here = got.sel(group=name).isel(resample=resample)
            if len(rows):
                np.testing.assert_allclose(here, values.values[:, rows].mean(1))
            else:
                assert np.isnan(here).all()


def test_intervals_and_contrasts(values):
    drawn = resampling(CLUSTERS, resamples=200, seed=0)
    draws = mean_draws(values, GROUPS, drawn)
    means = [values.isel(token=tokens).mean("token") for tokens in GROUPS.values()]
    result = xr.Dataset({"m": xr.concat(means, xr.Variable("group", list(GROUPS)))})
    found = with_intervals(result, "m", draws, [("one", "two")])
    np.testing.assert_allclose(found["m_contrast"][0], means[0] - means[1])
    inside = (found["m_contrast_interval"][0] <= found["m_contrast"]) & (
        found["m_contrast"] <= found["m_contrast_interval"][1]
    )
    assert inside.mean() > 0.9
    assert found["m_interval"].dims == ("bound", "group", "layer", "head")


def test_whole_clusters_widen_an_interval():
    """Copies of a token in its cluster add nothing."""
    generator = np.random.default_rng(0)
    once = generator.normal(size=30)
    tokens, cluster = np.arange(300), np.repeat(np.arange(30), 10)
    copied = xr.DataArray(np.repeat(once, 10), dims="token")
    width = {}
    for name, codes in (("clusters", cluster), ("tokens", tokens)):
        drawn = resampling({"g": codes}, resamples=500, seed=0)
        width[name] = float(bounds(mean_draws(copied, {"g": tokens}, drawn)).diff("bound").item())
    expected = 2 * 1.96 * once.std(ddof=1) / 30**0.5
    assert width["clusters"] == pytest.approx(expected, rel=0.2)
    assert width["tokens"] < width["clusters"] / 2


def test_many_clusters_are_joined_and_say_the_same(monkeypatch):
    values = np.random.default_rng(0).normal(size=4000)
    tokens = np.arange(4000)
    array = xr.DataArray(values, dims="token")
    widths = []
    for most in (4000, 300):
        monkeypatch.setattr(module, "MOST_BLOCKS", most)
        drawn = resampling({"g": tokens}, resamples=400, seed=0)
        assert drawn.blocks == most
        widths.append(float(bounds(mean_draws(array, {"g": tokens}, drawn)).diff("bound").item()))
    assert widths[1] == pytest.approx(widths[0], rel=0.25)


def test_one_resample_is_refused():
    with pytest.raises(UsageError, match="1 bootstrap resamples, expected 2 or more"):
        resampling(CLUSTERS, resamples=1, seed=0)


@pytest.mark.parametrize("tokens", [2, 5, 54])
@pytest.mark.parametrize("center", [False, True])
def test_the_chance_of_a_cosine_is_that_of_random_columns(tokens, center):
    columns = np.random.default_rng(0).normal(size=(tokens, 400))
    columns -= columns.mean(0) if center else 0
    columns /= np.linalg.norm(columns, axis=0)
    cosines = np.abs(columns.T @ columns)[np.triu_indices(400, 1)]
    assert chance_cosine(tokens, center=center) == pytest.approx(cosines.mean(), rel=0.02)
    if tokens > 50 and not center:
        assert chance_cosine(tokens) == pytest.approx((2 / (np.pi * tokens)) ** 0.5, rel=0.01)
