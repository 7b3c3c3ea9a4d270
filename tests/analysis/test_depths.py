"""Steps and spread of the residual stream against NumPy on the whole array.

They agree for any split into units.
"""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.norms.depths import std_by_depth, step_norms
from tests import strategies


@pytest.mark.slow
@given(strategies.residuals(), st.data())
def test_agrees_with_numpy_for_any_split(resid, data):
    units = data.draw(strategies.splits(resid.sizes["token"]))
    wide = resid.values.astype(np.float64)
    split = resid.chunk({"depth": 1, "token": units, "d_model": -1})
    for given_resid in (resid, split):
        steps, spread = step_norms(given_resid), std_by_depth(given_resid)
        assert (steps.dtype, spread.dtype) == (np.float64, np.float64)
        assert steps["depth"].values.tolist() == list(range(1, len(wide)))
        np.testing.assert_allclose(
            steps, [np.linalg.norm(step) for step in np.diff(wide, axis=0)], rtol=1e-12
        )
        np.testing.assert_allclose(spread, wide.std((1, 2)), rtol=1e-9, atol=1e-12)


@given(strategies.residuals())
def test_a_skipped_block_steps_exactly_nowhere(resid):
    skipped = xr.concat([resid, resid.isel(depth=[-1])], "depth")
    assert step_norms(skipped).values[-1] == 0


def test_half_precision_is_widened_first():
    resid = xr.DataArray(
        np.array([[[6e4, -6e4]], [[-6e4, 6e4]]], dtype=np.float16),
        dims=("depth", "token", "d_model"),
    )
    np.testing.assert_allclose(step_norms(resid), [12e4 * 2**0.5], rtol=1e-3)
    np.testing.assert_allclose(std_by_depth(resid), [6e4, 6e4], rtol=1e-3)


def test_a_selection_of_tokens_and_labels_do_not_matter():
    resid = xr.DataArray(
        np.random.default_rng(0).normal(size=(3, 5, 4)), dims=("depth", "token", "d_model")
    )
    labelled = resid.assign_coords(depth=np.arange(3), position=("token", np.arange(5)))
    later = labelled.isel(token=labelled["position"].values > 0)
    np.testing.assert_allclose(step_norms(later), step_norms(resid[:, 1:]), rtol=1e-14)
    np.testing.assert_allclose(std_by_depth(later), std_by_depth(resid[:, 1:]), rtol=1e-14)


def test_one_depth_has_no_step():
    with pytest.raises(ValueError, match="1 depths, expected 2"):
        step_norms(xr.DataArray(np.zeros((1, 2, 3)), dims=("depth", "token", "d_model")))


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    resid = xr.DataArray(np.zeros((3, 6, 2)), dims=("depth", "token", "d_model")).chunk(
        {"depth": 1, "token": 2}
    )
    assert step_norms(resid).chunks is not None
    assert std_by_depth(resid).chunks is not None
