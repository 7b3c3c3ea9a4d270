"""Laminar correlation against NumPy on the whole array, for any split, mask and magnitudes."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.kernels.moments import correlation, merged, moments, moments_of_all
from actlas.analysis.reconstruction.laminar import Mask, laminar_correlation
from actlas.store.errors import UsageError
from tests import strategies

masks = st.one_of(
    st.builds(Mask, quantile=st.floats(0.01, 1), first_token=st.booleans()),
    st.builds(Mask, quantile=st.none(), threshold=st.floats(1e-4, 2e4), first_token=st.booleans()),
)


def positioned(resid, sizes):
    return resid.assign_coords(
        position=("token", np.concatenate([np.arange(size) for size in sizes]))
    )


def pearson(x, y):
    """r by NumPy, and whether it has digits: a spread that is rounding has none."""
    if x.size == 0 or not (
        np.ptp(x) > 1e-6 * np.abs(x).max() and np.ptp(y) > 1e-6 * np.abs(y).max()
    ):
        return None
    return np.corrcoef(x, y)[0, 1]


@pytest.mark.slow
@given(strategies.residuals(), masks, st.data())
def test_agrees_with_numpy_for_any_split(resid, mask, data):
    tokens = resid.sizes["token"]
    resid = positioned(resid, data.draw(strategies.splits(tokens)))
    split = resid.chunk({"depth": 1, "token": data.draw(strategies.splits(tokens))})
    got = laminar_correlation(split, mask).compute()
    part = resid.values.astype(np.float64)
    part = part if mask.first_token else part[:, resid["position"].values > 0]
    for pair in range(len(part) - 1):
        x, y = part[pair].ravel(), part[pair + 1].ravel()
        of_pair = got.sel(pair=pair)
        size = np.maximum(np.abs(x), np.abs(y))
        kept = size < float(of_pair["cut"])
        np.testing.assert_allclose(
            of_pair["excluded_share"], 1 - kept.sum() / resid[0].size, rtol=1e-12, atol=1e-15
        )
        for name, entries in (("laminar_correlation", kept), ("unmasked_correlation", kept | True)):
            wanted = pearson(x[entries], y[entries])
            if wanted is not None:
                np.testing.assert_allclose(of_pair[name], wanted, atol=1e-8)
        if mask.threshold is not None:
            assert float(of_pair["cut"]) == mask.threshold
        elif size.size:
            assert kept.sum() >= mask.quantile * size.size
            smaller = size < float(of_pair["cut"]) * (1 - 1 / 16)  # a level less
            assert (
                smaller.sum() < mask.quantile * size.size
                or float(of_pair["cut"]) < 1e-6
                or kept.all()
            )


def test_an_outlier_dimension_makes_r_until_it_is_masked():
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 200, 50))
    values[:, :, 7] = 3000 + random.normal(size=(2, 200))  # the dimension that every depth carries
    resid = positioned(xr.DataArray(values, dims=("depth", "token", "d_model")), [10] * 20)
    result = laminar_correlation(resid, Mask(quantile=0.98)).compute()
    assert float(result["unmasked_correlation"][0]) > 0.999
    assert abs(float(result["laminar_correlation"][0])) < 0.05
    np.testing.assert_allclose(result["excluded_share"], 0.02, atol=1e-9)
    without = laminar_correlation(
        resid, Mask(quantile=None, threshold=100, first_token=False)
    ).compute()
    np.testing.assert_allclose(without["excluded_share"], 1 - 0.9 * 49 / 50, rtol=1e-12)


def test_identical_depths_correlate_exactly_and_a_constant_not_at_all():
    values = np.random.default_rng(0).normal(size=(1, 9, 4)).repeat(3, 0)
    values[2] = 5
    resid = positioned(xr.DataArray(values, dims=("depth", "token", "d_model")), [9])
    result = laminar_correlation(resid, Mask(quantile=1))
    np.testing.assert_allclose(result["laminar_correlation"], [1, np.nan], rtol=1e-15)
    assert (result["excluded_share"] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 0}, "--quantile is 0, expected above 0 and at most 1"),
        ({"quantile": 1.01}, "--quantile is 1.01"),
        ({"quantile": float("nan")}, "--quantile is nan"),
        ({"quantile": None, "threshold": 0}, "--threshold is 0, expected above 0"),
        ({"quantile": 0.9, "threshold": 3}, "both of --quantile and --threshold"),
        ({"quantile": None}, "neither of --quantile and --threshold"),
    ],
)
def test_a_mask_that_is_none(options, message):
    with pytest.raises(UsageError, match=message):
        Mask(**options)


@given(st.lists(st.tuples(strategies.mixed, strategies.mixed), min_size=1, max_size=40), st.data())
def test_moments_of_parts_are_those_of_the_whole(pairs, data):
    x, y = np.array(pairs).T
    cuts = np.cumsum(data.draw(strategies.splits(len(pairs))))[:-1]
    parts = np.array(
        [moments_of_all(*part) for part in zip(np.split(x, cuts), np.split(y, cuts), strict=True)]
    )
    together = merged(parts)
    scale = np.array([1, *[1e4] * 2, *[1e8 * len(x)] * 3])
    np.testing.assert_allclose(
        together / scale, moments_of_all(x, y) / scale, rtol=1e-9, atol=1e-15
    )
    by_level = moments(x, y, np.arange(len(x)) % 3, 5)
    np.testing.assert_allclose(merged(by_level.T) / scale, together / scale, rtol=1e-9, atol=1e-15)
    assert np.isnan(correlation(np.zeros(6)))


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    resid = xr.DataArray(np.zeros((3, 4, 3)), dims=("depth", "token", "d_model")).chunk(
        {"depth": 1, "token": 2}
    )
    assert (
        laminar_correlation(positioned(resid, [2, 2]), Mask())["laminar_correlation"].chunks
        is not None
    )
