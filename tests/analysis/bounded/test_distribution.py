"""Quantiles of values that come in parts: NumPy's where they are kept, and near them in bins."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actlas.analysis.kernels import distribution
from actlas.analysis.kernels.distribution import ERROR, Distribution
from actlas.analysis.norms.compute import STATISTICS, norm_profile, norm_statistics
from tests import strategies

QUANTILES = (0.25, 0.5, 0.75)
VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, 1e-300, 1e300]), st.floats(1e-12, 1e12), st.floats(0.9, 1.1)
)


def found(values, sizes, *, exact):
    each = Distribution(len(values), values.shape[1], exact=exact)
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        each.add(part)
    return each.statistics(QUANTILES)


def expected(values):
    return np.stack(
        [values.mean(0), *np.quantile(values, QUANTILES, axis=0), values.max(0)], axis=1
    )


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2), elements=VALUES), st.data())
def test_quantiles_of_any_parts(values, data):
    sizes = data.draw(strategies.splits(len(values)))
    plain = expected(values)
    kept = found(values, sizes, exact=True)
    np.testing.assert_array_equal(kept[:, 1:], plain[:, 1:])
    np.testing.assert_allclose(kept[:, 0], plain[:, 0], rtol=1e-12)
    binned = found(values, sizes, exact=False)
    np.testing.assert_allclose(binned, plain, rtol=ERROR * (1 + 1e-9))
    np.testing.assert_array_equal(binned[:, -1], plain[:, -1])
    # neither order nor parts matter
    again = found(values[::-1], [len(values)], exact=False)
    np.testing.assert_array_equal(again[:, 1:], binned[:, 1:])


@pytest.mark.parametrize("exact", [True, False])
def test_of_one_value_of_none_and_of_what_is_no_number(exact):
    one = found(np.full((70_000, 1), 2 / 3), [40_000, 30_000], exact=exact)
    np.testing.assert_allclose(one[0], 2 / 3, rtol=1e-12)
    assert np.isnan(Distribution(3, 2, exact=exact).statistics(QUANTILES)).all()
    values = np.array([[1, np.nan], [np.inf, 2], [3, 2]])
    with np.errstate(invalid="ignore"):
        number, none = found(values, [2, 1], exact=exact)
    assert np.isnan(none).all()
    assert number[0] == number[-1] == np.inf
    np.testing.assert_allclose(number[1], 2, rtol=ERROR)


def test_more_norms_than_are_kept_say_what_they_may_be_off(monkeypatch):
    generator = np.random.default_rng(0)
    resid = xr.DataArray(
        generator.lognormal(size=(3, 400, 4)).astype(np.float32),
        dims=("depth", "token", "d_model"),
    ).chunk({"depth": 1, "token": 37})
    out = (resid.isel(depth=slice(2)) * 0.5).rename(depth="layer").rename("attn_out")
    groups = {"first": np.arange(0, 400, 8), "later": np.flatnonzero(np.arange(400) % 8)}
    dataset = xr.Dataset({"resid": resid, "attn_out": out, "mlp_out": out})
    exact = norm_profile(dataset, groups, sums=True).compute()
    assert exact["norm_resid"].attrs["quantile_error"] == 0
    monkeypatch.setattr(distribution, "EXACT", 100)
    near = norm_profile(dataset, groups, sums=True).compute()
    for name in ("norm_resid", "norm_attn_out", "norm_mlp_out"):
        assert near[name].attrs["quantile_error"] == ERROR
        np.testing.assert_allclose(near[name], exact[name], rtol=ERROR)
        for statistic in (STATISTICS[0], STATISTICS[-1]):
            one, other = (each[name].sel(statistic=statistic) for each in (near, exact))
            np.testing.assert_array_equal(one, other)
    for name in ("std", "step", "share"):
        np.testing.assert_array_equal(near[name], exact[name])
    few = norm_statistics(resid, {"first": groups["first"]})
    assert few.attrs["quantile_error"] == 0
