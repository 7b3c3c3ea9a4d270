"""Study 1, first half: variance and mean of target and control tokens in Q, K and V.

Each layer is taken by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sites import feature_dims
from actlas.analysis.data.tokens import FEWEST, Selection
from actlas.store.errors import UsageError

PROJECTIONS = ("q", "k", "v")
MEANINGS = {"variance": "variance over tokens (ddof=1)", "mean": "mean over tokens"}
MOST_WEIGHTS = 1 << 27  # resamples times tokens: 1 GB
RESAMPLES_AT_ONCE = 1 << 12  # whose sums over all features are held
TOKENS_AT_ONCE = 1 << 12  # of a layer that are held for its variance; the parts' moments are merged


def token_variance(activations: xr.DataArray) -> xr.Dataset:
    """Mean and sample variance (ddof=1) of each feature over ``token``, in float64.

    activations: (..., token, ...) of any float dtype, at least two tokens; lazy stays lazy.
    Source: study 1, V = Var(X[layer, token="her"]) over the sentences.
    Raises ValueError with fewer than two tokens.
    """
    if activations.sizes["token"] < FEWEST:
        raise ValueError(
            f"{activations.sizes['token']} tokens, expected {FEWEST} at least for a variance"
        )
    whole = activations.astype("float64")
    if whole.chunks is not None:
        # few tokens have one two-pass variance per layer, however many units they are from; of many
        # no more than these are held
        whole = whole.chunk({"token": min(activations.sizes["token"], TOKENS_AT_ONCE)})
    return xr.Dataset({"variance": whole.var("token", ddof=1), "mean": whole.mean("token")})


def variance_profile(dataset: xr.Dataset, selection: Selection) -> xr.Dataset:
    """Variance and mean of target and control tokens.

    Both are given per feature and averaged over the features of a projection.

    dataset: ``q``, ``k``, ``v`` (layer, token, head, d_head); of a model with fewer key heads,
    ``k`` and ``v`` have ``kv_head`` in place of ``head``. Returns, lazily and in float64,
    ``variance`` and ``mean`` (group, projection, layer), each averaged over the features of its
    projection; ``feature_variance_q``, ``feature_mean_q`` (group, layer, head, d_head) and the same
    of ``k`` and ``v``, on their own heads; in the units of the activations, squared for variances;
    and the pairs themselves. Raises ValueError with fewer than two tokens.
    """
    variables, averaged = {}, []
    for projection in PROJECTIONS:
        activations = dataset[projection]
        moments = [token_variance(selection.take(activations, name)) for name in selection.groups]
        features = xr.concat(moments, xr.Variable("group", list(selection.groups)))
        averaged.append(features.mean(feature_dims(activations)))
        for name, meaning in MEANINGS.items():
            array = features[name].assign_attrs(long_name=f"{projection}: {meaning}")
            variables[f"feature_{name}_{projection}"] = array
    means = xr.concat(averaged, xr.Variable("projection", list(PROJECTIONS)))
    for name, meaning in MEANINGS.items():
        variables[name] = means[name].transpose("group", "projection", "layer")
        variables[name].attrs["long_name"] = f"{meaning}, averaged over features"
    return xr.Dataset(variables).merge(selection.coordinates())


def _lazy_bounds(rows: xr.DataArray, weights: npt.NDArray[np.float64]) -> xr.DataArray:
    """Return (bound, layer) of rows (layer, token, feature), lazily."""
    bounds: xr.DataArray = xr.apply_ufunc(
        _bounds,
        rows.chunk({"layer": 1, "token": -1, "feature": -1}) if rows.chunks else rows,
        kwargs={"weights": weights},
        input_core_dims=[["token", "feature"]],
        output_core_dims=[["bound"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"bound": 2}},
    )
    return bounds


def variance_bootstrap(
    dataset: xr.Dataset, selection: Selection, *, resamples: int, seed: int
) -> xr.DataArray:
    """95 % bounds of ``variance`` from ``resamples`` bootstraps over sentences.

    The result is (bound, group, projection, layer), lazy.

    Sentences are drawn with replacement, the same for all groups, projections and layers; each
    brings all its pairs. Source: percentile bootstrap, Efron 1979. Raises UsageError for fewer than
    two resamples.
    """
    if resamples < FEWEST:
        raise UsageError(
            f"{resamples} bootstrap resamples, expected {FEWEST} or more, or 0 for none"
        )
    sentences, member = np.unique(selection.sentence, return_inverse=True)
    if resamples * max(len(sentences), len(member)) > MOST_WEIGHTS:
        fit = f"expected at most {MOST_WEIGHTS // max(len(sentences), len(member)):,}"
        raise UsageError(
            f"{resamples:,} bootstrap resamples of {len(member):,} tokens do not fit into memory, "
            f"{fit}"
        )
    draws = np.random.default_rng(seed).multinomial(
        len(sentences), np.full(len(sentences), 1 / len(sentences)), resamples
    )
    weights = draws[:, member].astype(np.float64)  # (resample, token)
    groups = []
    for group in selection.groups:
        rows = []
        for projection in PROJECTIONS:
            chosen, dims = dataset[projection], feature_dims(dataset[projection])
            taken = selection.take(chosen, group)
            rows.append(taken.stack(feature=dims, create_index=False))  # (layer, token, feature)
        bounds = [_lazy_bounds(row, weights) for row in rows]
        groups.append(xr.concat(bounds, xr.Variable("projection", list(PROJECTIONS))))
    result: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    result = result.assign_coords(bound=["lower", "upper"]).transpose(
        "bound", "group", "projection", "layer"
    )
    result.attrs["long_name"] = f"95 % bounds of variance, {resamples} bootstraps over sentences"
    return result


def _bounds(rows: npt.NDArray[Any], *, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (layer, bound) of rows (layer, token, feature).

    Weighted variances of every resample, averaged over features.
    """
    size = weights.sum(1)  # tokens of each resample
    found = []
    for layer in rows.astype(np.float64):
        # (token, feature); keeps the difference of squares below exact
        centred = layer - layer.mean(0)
        squares = np.vecdot(centred, centred) / centred.shape[1]  # without a second array as large
        parts = []
        for start in range(0, len(weights), RESAMPLES_AT_ONCE):
            some = weights[start : start + RESAMPLES_AT_ONCE]
            parts.append(
                some @ squares - ((some @ centred) ** 2).mean(1) / size[start : start + len(some)]
            )
        variances = np.concatenate(parts)[size > 1] / (size[size > 1] - 1)
        found.append(np.percentile(variances, [2.5, 97.5]))
    return np.array(found)
