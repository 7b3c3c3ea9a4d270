"""Distances between groups of values against sorting them, and what chance gives."""

import numpy as np
import xarray as xr

from actlas.analysis.groups.resampling import resampling
from actlas.analysis.histogram.distances import group_distances

EDGES = np.linspace(-6, 8, 701)[np.newaxis]


def found(moved, *, clusters=20, units=(70, 130)):
    """Return the distances of two groups of 100 tokens, of 20 clusters each, one of them moved."""
    values = np.random.default_rng(0).normal(size=(1, 200, 30))
    values[:, 100:] += moved
    plain = xr.DataArray(values, dims=("layer", "token", "vector")).chunk({"token": units})
    tokens = {"one": np.arange(100), "two": np.arange(100, 200)}
    codes = {name: each // (100 // clusters) for name, each in tokens.items()}
    drawn = resampling(codes, resamples=50, seed=0)
    return values, group_distances(plain, EDGES, tokens, [("one", "two")], drawn, seed=0)


def test_the_distance_is_how_far_sorted_values_lie_apart():
    values, result = found(1.0)
    assert result["group_distance"].chunks is not None
    one, two = (np.sort(values[0, part].ravel()) for part in (slice(100), slice(100, 200)))
    got = result.compute().isel(contrast=0, layer=0)
    np.testing.assert_allclose(got["group_distance"], np.abs(one - two).mean(), rtol=0.02)
    assert got["group_distance"] > 3 * got["group_distance_chance_upper"]
    lower, upper = got["group_distance_interval"].values
    assert lower < got["group_distance"] < upper


def test_without_a_difference_the_distance_is_that_of_chance():
    _, result = found(0.0)
    got = result.compute().isel(contrast=0, layer=0)
    assert 0 < got["group_distance"] < 1.3 * got["group_distance_chance_upper"]
    assert got["group_distance_chance"] < got["group_distance_chance_upper"]
