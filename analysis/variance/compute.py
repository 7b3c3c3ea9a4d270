"""Study 1, first half: variance and mean of groups of tokens in Q, K and V.

Each layer is taken by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sites import feature_dims
from actlas.analysis.data.tokens import FEWEST
from actlas.analysis.groups.resampling import Resampling, bounds
from actlas.analysis.groups.token_groups import Grouped

PROJECTIONS = ("q", "k", "v")
MEANINGS = {"variance": "variance over tokens (ddof=1)", "mean": "mean over tokens"}
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


def variance_profile(dataset: xr.Dataset, selection: Grouped) -> xr.Dataset:
    """Variance and mean of the tokens of each group.

    Both are given per feature and averaged over the features of a projection.

    dataset: ``q``, ``k``, ``v`` (layer, token, head, d_head); of a model with fewer key heads,
    ``k`` and ``v`` have ``kv_head`` in place of ``head``. Returns, lazily and in float64,
    ``variance`` and ``mean`` (group, projection, layer), each averaged over the features of its
    projection; ``feature_variance_q``, ``feature_mean_q`` (group, layer, head, d_head) and the same
    of ``k`` and ``v``, on their own heads; in the units of the activations, squared for variances;
    and which tokens they are of. Raises ValueError with fewer than two tokens.
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


def variance_draws(dataset: xr.Dataset, selection: Grouped, drawn: Resampling) -> xr.DataArray:
    """Return ``variance`` of clusters that are drawn again: (resample, group, projection, layer).

    Lazy, float64. A resample with fewer than two tokens of a group is NaN.
    """
    groups = []
    for group in selection.groups:
        parts = []
        for projection in PROJECTIONS:
            chosen, dims = dataset[projection], feature_dims(dataset[projection])
            taken = selection.take(chosen, group)
            rows = taken.stack(feature=dims, create_index=False)  # (layer, token, feature)
            parts.append(_lazy_draws(rows, drawn, group))
        groups.append(xr.concat(parts, xr.Variable("projection", list(PROJECTIONS))))
    result: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    return result.transpose("resample", "group", "projection", "layer")


def with_ratios(
    result: xr.Dataset, draws: xr.DataArray | None, contrasts: Sequence[tuple[str, str]]
) -> xr.Dataset:
    """Return ``result`` with ``variance_ratio`` (contrast, layer) of each A:B, and its interval.

    It is the variance of A over that of B, each averaged over projections; lazy stays lazy. result:
    of ``variance_profile``. draws: of ``variance_draws``, None for no interval.
    """
    if not contrasts:
        return result
    names = xr.Variable("contrast", [f"{one}:{other}" for one, other in contrasts])

    def ratios(variance: xr.DataArray) -> xr.DataArray:
        means = variance.mean("projection", skipna=False)
        parts = []
        for one, other in contrasts:
            below = means.sel(group=other, drop=True)
            parts.append(means.sel(group=one, drop=True) / below.where(below > 0))
        joined: xr.DataArray = xr.concat(parts, names)
        return joined

    ratio = ratios(result["variance"])
    ratio.attrs["long_name"] = "variance of the first group, of that of the second"
    found = result.assign(variance_ratio=ratio)
    if draws is None:
        return found
    interval = bounds(ratios(draws)).transpose("bound", *ratio.dims)
    return found.assign(variance_ratio_interval=interval)


def _lazy_draws(rows: xr.DataArray, drawn: Resampling, group: str) -> xr.DataArray:
    """Return (resample, layer) of rows (layer, token, feature), lazily."""
    draws: xr.DataArray = xr.apply_ufunc(
        _draws,
        rows.chunk({"layer": 1, "token": -1, "feature": -1}) if rows.chunks else rows,
        kwargs={"drawn": drawn, "group": group},
        input_core_dims=[["token", "feature"]],
        output_core_dims=[["resample"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"resample": drawn.resamples}},
    )
    return draws


def _draws(rows: npt.NDArray[Any], *, drawn: Resampling, group: str) -> npt.NDArray[np.float64]:
    """Return (layer, resample) of rows (layer, token, feature).

    Variances of every resample, averaged over features.
    """
    size = drawn.tokens(group)
    found = np.full((len(rows), drawn.resamples), np.nan)
    for number, layer in enumerate(rows.astype(np.float64)):
        # (token, feature); keeps the difference of squares below exact
        centred = layer - layer.mean(0)
        squares = drawn.sums(group, np.vecdot(centred, centred) / centred.shape[1])
        sums = drawn.sums(group, centred)  # (block, feature)
        for start in range(0, drawn.resamples, RESAMPLES_AT_ONCE):
            part = slice(start, start + RESAMPLES_AT_ONCE)
            weights, tokens = drawn.weights[part], size[part]
            within = weights @ squares - ((weights @ sums) ** 2).mean(1) / tokens.clip(1)
            found[number, part] = np.where(tokens > 1, within / (tokens - 1).clip(1), np.nan)
    return found
