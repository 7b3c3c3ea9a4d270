"""Reconstruction: it holds on real runs in every precision.

It agrees with NumPy, and finds what was planted.
"""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.reconstruction.compute import (
    ATTENTION,
    MLP,
    ROUNDING,
    WHOLE,
    Precision,
    broken,
    reconstruction,
)
from actlas.store.errors import UsageError
from tests import strategies
from tests.extraction import extract_texts
from tests.small_model import TEXTS, save_model

SITES = ("resid", "resid_mid", "attn_out", "mlp_out")


def summed(resid, random):
    """A dataset whose blocks are sums, in float32.

    What attention writes is drawn, what is left is the MLP's.
    """
    attention = random.normal(size=resid[1:].shape).astype(np.float32)
    mlp = (resid.values[1:].astype(np.float64) - resid.values[:-1] - attention).astype(np.float32)
    dims = ("layer", "token", "d_model")
    return xr.Dataset(
        {"resid": resid.drop_vars("depth"), "attn_out": (dims, attention), "mlp_out": (dims, mlp)}
    )


@pytest.mark.slow
@given(strategies.residuals(), st.integers(0, 99), st.data())
def test_agrees_with_numpy_for_any_split(resid, seed, data):
    dataset = summed(resid, np.random.default_rng(seed))
    units = {"token": data.draw(strategies.splits(resid.sizes["token"]))}
    split = dataset.chunk({"depth": 1, "layer": 1, **units})
    got = reconstruction(split, Precision()).sel(sum=WHOLE).compute()
    output, before = (
        resid.values[part].astype(np.float64) for part in (slice(1, None), slice(None, -1))
    )
    attention, mlp = (dataset[name].values.astype(np.float64) for name in ("attn_out", "mlp_out"))
    total = before + attention + mlp
    np.testing.assert_allclose(got["max_abs_error"], np.abs(output - total).max((1, 2)), rtol=1e-9)
    for layer in range(len(output)):
        norm = np.linalg.norm(output[layer])
        wanted = np.linalg.norm(output[layer] - total[layer]) / norm if norm else np.nan
        np.testing.assert_allclose(got["relative_error"][layer], wanted, rtol=1e-9)
        # more than is lost beside the parts
        if np.ptp(output[layer]) > 1e-3 * max(np.abs(output[layer]).max(), 1e-9):
            r = np.corrcoef(output[layer].ravel(), total[layer].ravel())[0, 1]
            np.testing.assert_allclose(got["correlation"][layer], r, atol=1e-9)
    # numbers that are rounded once are within the bound
    assert broken(got.expand_dims("sum")) == []


@pytest.mark.slow
@given(strategies.residuals(), st.data())
def test_one_planted_value_is_found_wherever_it_is(resid, data):
    dataset = summed(resid, np.random.default_rng(0))
    place = tuple(data.draw(st.integers(0, size - 1)) for size in dataset["attn_out"].shape)
    layer, token, dimension = place
    values = dataset["attn_out"].values.copy()
    size = sum(abs(float(dataset[name].values[place])) for name in ("attn_out", "mlp_out"))
    size += abs(float(resid.values[place])) + abs(float(resid.values[layer + 1, token, dimension]))
    values[place] += np.float32(1e-4 * size + 1e-6)
    units = {"token": data.draw(strategies.splits(resid.sizes["token"]))}
    planted = dataset.assign(attn_out=(dataset["attn_out"].dims, values)).chunk(
        {"depth": 1, "layer": 1, **units}
    )
    got = reconstruction(planted, Precision()).compute()
    assert broken(got) == [(WHOLE, layer)]
    assert broken(got, edited=[layer]) == []
    found = got.sel(sum=WHOLE, layer=layer)
    assert (int(found["error_token"]), int(found["error_dimension"])) == (token, dimension)


def run_of(tmp_path, model, **options):
    run, _ = extract_texts(tmp_path / "store", model, TEXTS, SITES, unit_tokens=60, **options)
    numerics = run.specification["numerics"]
    return run.dataset(), Precision(numerics["dtype"], numerics["stored_dtype"])


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-5),
        ({"stored_dtype": "float16"}, 2e-3),
        ({"stored_dtype": "bfloat16"}, 2e-2),
        ({"dtype": "bfloat16"}, 2e-2),
        ({"dtype": "bfloat16", "stored_dtype": "float32"}, 2e-2),
    ],
    ids=str,
)
def test_every_block_of_a_real_run_is_its_sum_in_every_precision(
    tmp_path, small_model, options, tolerance
):
    dataset, precision = run_of(tmp_path, small_model, **options)
    got = reconstruction(dataset, precision).compute()
    assert broken(got) == []
    assert got["sum"].values.tolist() == [WHOLE, ATTENTION, MLP]
    assert float(got["relative_error"].max()) < tolerance
    assert float(got["correlation"].min()) > 1 - tolerance


def test_a_narrow_store_does_not_pass_for_a_wide_one(tmp_path, small_model):
    dataset, precision = run_of(tmp_path, small_model, stored_dtype="bfloat16")
    assert str(precision) == "bfloat16 computed in float32"
    assert len(broken(reconstruction(dataset, Precision()).compute())) == 3 * dataset.sizes["layer"]


@pytest.mark.slow
def test_it_holds_at_the_width_of_gpt2_xl(tmp_path):
    model = save_model(tmp_path / "model", n_layer=4, n_head=25, n_embd=1600, n_inner=None)
    dataset, precision = run_of(tmp_path, model)
    got = reconstruction(dataset, precision).compute()
    assert dataset["mlp_out"].shape[2] == 1600
    assert broken(got) == []
    assert float(got["relative_error"].max()) < 1e-5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_does_not_hold(value):
    resid = xr.DataArray(
        np.ones((3, 4, 2), np.float32),
        dims=("depth", "token", "d_model"),
        coords={"depth": np.arange(3)},
    )
    dataset = summed(resid, np.random.default_rng(0))
    mlp = dataset["mlp_out"].values.copy()
    mlp[1, 2, 1] = value
    got = reconstruction(
        dataset.assign(mlp_out=(dataset["mlp_out"].dims, mlp)), Precision()
    ).compute()
    assert broken(got) == [(WHOLE, 1)]
    assert (int(got["error_token"][0, 1]), int(got["error_dimension"][0, 1])) == (2, 1)


def test_an_unknown_dtype_has_no_rounding():
    with pytest.raises(UsageError, match="unknown dtype 'int8': expected float32"):
        Precision("int8")
    assert all(np.finfo(dtype).eps / 2 == ROUNDING[dtype][0] for dtype in ("float16", "float32"))


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    resid = xr.DataArray(
        np.ones((3, 4, 2), np.float32),
        dims=("depth", "token", "d_model"),
        coords={"depth": np.arange(3)},
    )
    dataset = summed(resid, np.random.default_rng(0)).chunk({"depth": 1, "layer": 1, "token": 2})
    assert all(
        variable.chunks is not None
        for variable in reconstruction(dataset, Precision()).data_vars.values()
    )
