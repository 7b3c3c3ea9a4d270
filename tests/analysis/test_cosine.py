"""Cosine histograms against the plain way and their laws.

The plain way: whole matrix, boolean masks, np.triu, np.histogram.
"""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.cosine.compute import (
    MOMENTS,
    PROJECTION_PAIRS,
    cosine_histograms,
    cosine_matrix,
    pair_masks,
)
from actlas.analysis.data.tokens import Selection, Target
from actlas.store.errors import UsageError
from tests import strategies

ROUNDING = 2e-6  # of a float32 cosine of a few terms, and of a bin number up to a few hundred


def selection_of(tokens):
    """Select the even tokens as targets, the odd as controls."""
    pairs = np.arange(tokens // 2 * 2).reshape(-1, 2)
    return Selection(
        Target("her"), pairs[:, 0], pairs[:, 0], pairs[:, 1], np.arange(len(pairs)), ()
    )


def plain(dataset, tokens, layer, center):
    """Return matrix and masks of one layer, float64: the way everybody would write it."""
    rows = [
        dataset[name]
        .isel(layer=layer, token=tokens)
        .values.astype(np.float64)
        .reshape(len(tokens), -1)
        for name in "qkv"
    ]
    sizes = [row.shape[1] for row in rows]
    features = np.concatenate(rows, axis=1)
    norms = np.linalg.norm(features, axis=0)
    if center:
        features = features - features.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = np.linalg.norm(features, axis=0)
        features = features / np.where(
            centred > (np.finfo(np.float32).eps * norms if center else 0), centred, 0
        )
        matrix = features.T @ features
    numbers = np.repeat(np.arange(3), sizes)
    part = {name: numbers == index for index, name in enumerate("qkv")}
    upper = np.triu(np.ones_like(matrix, dtype=bool), 1)
    return matrix, {
        pair: np.outer(part[a], part[b]) & (upper if a == b else True)
        for pair, (a, b) in PROJECTION_PAIRS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("center", [False, True])
@given(dataset=strategies.projections(), bins=st.sampled_from([1, 2, 7, 10, 100, 300]))
def test_equals_the_plain_way(dataset, bins, center):
    selection = selection_of(dataset.sizes["token"])
    result = cosine_histograms(dataset, selection, bins=bins, center=center)
    edges = result["bin_edge"].values
    for group, tokens in selection.groups.items():
        for layer in range(dataset.sizes["layer"]):
            matrix, masks = plain(dataset, tokens, layer, center)
            for pair, mask in masks.items():
                got = result.sel(group=group, projection_pair=pair).isel(layer=layer)
                values = matrix[mask]
                defined = np.clip(values[~np.isnan(values)], -1, 1)
                assert int(got["pairs"]) == mask.sum()
                assert int(got["undefined"]) == len(values) - len(defined)
                assert_counts(got["count"].values, defined, edges)
                if len(defined):
                    assert_moments(got, defined)
                else:
                    assert all(np.isnan(got[name]) for name in MOMENTS)


def assert_counts(counts, values, edges):
    """Every value lies in its bin, or, if within ROUNDING of an edge, in the one beyond it.

    Cumulated counts are bounded so.
    """
    assert counts.sum() == len(values)
    below = np.cumsum(counts)
    inner = edges[1:-1]
    ordered = np.sort(values)
    assert (below[:-1] >= np.searchsorted(ordered, inner - ROUNDING, side="left")).all()
    assert (below[:-1] <= np.searchsorted(ordered, inner + ROUNDING, side="right")).all()


def assert_moments(got, values):
    np.testing.assert_allclose(got["mean"], values.mean(), atol=ROUNDING)
    np.testing.assert_allclose(got["mean_abs"], np.abs(values).mean(), atol=ROUNDING)
    np.testing.assert_allclose(got["std"], values.std(), atol=1e-3 if values.std() < 1e-3 else 1e-5)
    high = np.abs(values)
    low, top = (high > 0.9 + ROUNDING).mean(), (high > 0.9 - ROUNDING).mean()
    assert low - 1e-12 <= float(got["share_above_0.9"]) <= top + 1e-12


def normal(layers=2, tokens=12, heads=5, d_head=31, seed=0, kv_heads=None):
    generator = np.random.default_rng(seed)
    shape = (3, layers, tokens, heads, d_head)
    values = generator.standard_normal(shape, dtype=np.float32)
    return strategies.grouped(values, kv_heads or heads)


@pytest.mark.parametrize("kv_heads", [5, 2])
def test_more_features_than_a_tile_has_rows(kv_heads):
    dataset = normal(heads=7, kv_heads=kv_heads)
    selection = selection_of(12)
    result = cosine_histograms(dataset, selection, bins=50)
    for pair, mask in plain(dataset, selection.target_token, 1, False)[1].items():
        values = plain(dataset, selection.target_token, 1, False)[0][mask]
        got = result.sel(group="target", projection_pair=pair).isel(layer=1)
        assert_counts(got["count"].values, values, result["bin_edge"].values)
        assert_moments(got, values)


@pytest.mark.parametrize("kv_heads", [5, 2])
def test_lazy_in_units_equals_eager(kv_heads):
    dataset = normal(kv_heads=kv_heads)
    lazy = dataset.chunk({"layer": 1, "token": 5})
    xr.testing.assert_allclose(
        cosine_histograms(lazy, selection_of(12)).compute(),
        cosine_histograms(dataset, selection_of(12)),
    )


@pytest.mark.slow
@given(dataset=strategies.projections(), factor=st.sampled_from([0.125, 2.0, 1024.0]))
def test_scaling_a_column_changes_nothing(dataset, factor):
    scaled = dataset.copy(deep=True)
    scaled["k"][..., 0, 0] *= factor  # a power of two: no rounding
    selection = selection_of(dataset.sizes["token"])
    xr.testing.assert_identical(
        cosine_histograms(scaled, selection), cosine_histograms(dataset, selection)
    )


def test_order_of_sentences_changes_nothing_but_the_last_bits():
    dataset, selection = normal(), selection_of(12)
    order = np.array([3, 1, 5, 0, 2, 4])
    turned = Selection(
        *(
            getattr(selection, name)[order] if name != "target" else selection.target
            for name in ORDERED
        ),
        (),
    )
    one, other = (
        cosine_histograms(dataset, selection, bins=1),
        cosine_histograms(dataset, turned, bins=1),
    )
    for name in ("count", "mean", "mean_abs", "std", "pairs"):
        xr.testing.assert_allclose(one[name], other[name], atol=ROUNDING)


ORDERED = ("target", "first_token", "last_token", "control_token", "sentence")


@given(st.integers(2, 9), st.integers(0, 5))
def test_identical_sentences_are_all_alike_and_centred_have_no_cosine(tokens, seed):
    one = normal(layers=1, tokens=1, seed=seed)
    dataset = one.isel(token=np.zeros(2 * tokens, dtype=int))
    same = cosine_histograms(dataset, selection_of(2 * tokens))
    np.testing.assert_allclose(same["mean_abs"], 1, atol=ROUNDING)
    assert (same["count"].isel(bin=slice(1, -1)) == 0).all()
    centred = cosine_histograms(dataset, selection_of(2 * tokens), center=True)
    np.testing.assert_array_equal(centred["undefined"], centred["pairs"])


@pytest.mark.parametrize("kv_heads", [5, 2])
def test_matrix_and_masks_are_the_plain_ones(kv_heads):
    dataset = normal(kv_heads=kv_heads).chunk({"layer": 1, "token": 4})
    selection = selection_of(12)
    matrix = cosine_matrix(dataset, selection)
    masks = pair_masks(matrix)
    assert matrix.chunks is not None
    assert masks.chunks is not None
    expected, plain_masks = plain(dataset.compute(), selection.control_token, 1, False)
    np.testing.assert_allclose(matrix.sel(group="control", layer=1), expected, atol=ROUNDING)
    for pair, mask in plain_masks.items():
        np.testing.assert_array_equal(masks.sel(projection_pair=pair), mask)
    for feature, labels in {40: "q 1 9", 5 * 31 + 40: "k 1 9", -1: f"v {kv_heads - 1} 30"}.items():
        chosen = matrix.isel(feature=feature)
        assert (
            " ".join(str(chosen[each].values) for each in ("projection", "head", "d_head"))
            == labels
        )
    np.testing.assert_array_equal(matrix["other_projection"], matrix["projection"])


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing():
    dataset = normal(kv_heads=2).chunk({"layer": 1, "token": 4})
    assert cosine_histograms(dataset, selection_of(12))["count"].chunks is not None
    pair_masks(cosine_matrix(dataset, selection_of(12), center=True))


def test_no_warning_of_columns_without_direction():
    dataset = normal()
    dataset["q"][:] = 0
    dataset["v"][..., 0] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = cosine_histograms(dataset, selection_of(12))
    np.testing.assert_array_equal(
        result["undefined"].sel(projection_pair="QK"), result["pairs"].sel(projection_pair="QK")
    )
    assert np.isnan(result["mean"].sel(projection_pair="QQ")).all()
    assert (result["undefined"].sel(projection_pair="KV") == 5 * 31 * 5).all()


def test_no_bins():
    with pytest.raises(UsageError, match="0 bins"):
        cosine_histograms(normal(), selection_of(12), bins=0)
