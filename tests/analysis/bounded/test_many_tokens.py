"""Groups of many tokens, whose rows are never held: the numbers are those of few."""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.cosine import compute as cosine
from actlas.analysis.cosine.compute import cosine_histograms
from actlas.analysis.cosine.intervals import cosine_draws
from actlas.analysis.data.tokens import Selection, Target
from actlas.analysis.groups.resampling import resampling
from actlas.analysis.variance import compute as variance
from actlas.analysis.variance.compute import variance_draws, variance_profile
from tests import strategies

TOKENS = 240


def made(pool="last"):
    """Q, K and V with a constant feature and one that is 0, in units of other sizes."""
    values = np.random.default_rng(3).standard_normal((3, 2, TOKENS, 3, 5), dtype=np.float32)
    values[..., 1] += 100  # centring takes nearly all of it away
    values[0, :, :, 0, 2], values[1, 1, :, 1, 3] = 0, 0.1
    dataset = strategies.grouped(values, 3).chunk({"layer": 1, "token": (100, 7, 133)})
    pairs = np.arange(TOKENS).reshape(-1, 3)
    first, last, control = pairs[:, 1], pairs[:, 2], pairs[:, 0]
    selection = Selection(Target("her", pool=pool), first, last, control, np.arange(len(pairs)), ())
    return dataset, selection


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("pool", ["last", "mean"])
def test_cosines(monkeypatch, center, pool):
    dataset, selection = made(pool)
    few = cosine_histograms(dataset, selection, bins=20, center=center).compute()
    monkeypatch.setattr(cosine, "MANY", 10)
    many = cosine_histograms(dataset, selection, bins=20, center=center)
    assert many["count"].chunks is not None
    many = many.compute()
    for name in ("pairs", "undefined"):
        np.testing.assert_array_equal(many[name], few[name])
    # rounding moves a cosine at an edge to the bin beside its own
    moved = np.abs(many["count"] - few["count"]).sum("bin") / 2
    assert float((moved / few["pairs"]).max()) < 0.01
    for name in ("mean", "mean_abs", "std", "share_above_0.9"):
        np.testing.assert_allclose(many[name], few[name], atol=2e-6)
    xr.testing.assert_equal(many["layer"], few["layer"])


def test_variances(monkeypatch):
    dataset, selection = made()
    few = variance_profile(dataset, selection).compute()
    monkeypatch.setattr(variance, "MANY", 10)
    many = variance_profile(dataset, selection).compute()
    xr.testing.assert_allclose(many, few, rtol=1e-12)
    for group, tokens in selection.groups.items():
        rows = dataset["q"].values[:, tokens].astype(np.float64)
        found = many["feature_variance_q"].sel(group=group)
        np.testing.assert_allclose(found, rows.var(axis=1, ddof=1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("center", [False, True])
def test_resamples_do_not_depend_on_units(center):
    dataset, selection = made()
    drawn = resampling(selection.clusters, resamples=20, seed=1)
    whole = dataset.chunk({"token": -1})
    mean_abs = cosine_histograms(whole, selection, bins=4, center=center)["mean_abs"]
    found = []
    for each in (dataset, whole):
        draws = cosine_draws(each, selection, drawn, mean_abs, center=center)
        found.append((variance_draws(each, selection, drawn).values, draws.values))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
