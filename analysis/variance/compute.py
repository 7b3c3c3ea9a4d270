"""Study 1, first half: variance and mean of groups of tokens in Q, K and V.

Each layer is taken by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import xarray as xr

from actlas.analysis.data.sites import feature_dims
from actlas.analysis.data.tokens import FEWEST
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.resampling import Resampling, bounds
from actlas.analysis.groups.token_groups import Grouped
from actlas.analysis.kernels.folding import folded
from actlas.analysis.variance.accumulating import FeatureMoments, ResampledVariance

PROJECTIONS = ("q", "k", "v")
MEANINGS = {"variance": "variance over tokens (ddof=1)", "mean": "mean over tokens"}
MANY = 1 << 12  # tokens of a layer that are held for its variance; of more, moments are merged


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
        # one two-pass variance per layer, however many units they are from
        whole = whole.chunk({"token": -1})
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
        moments = [_of_group(activations, selection, name) for name in selection.groups]
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


def _of_group(activations: xr.DataArray, selection: Grouped, group: str) -> xr.Dataset:
    """Return what ``token_variance`` does of a group's tokens, MANY of which are never held."""
    if len(selection.groups[group]) <= MANY or not activations.chunks:
        return token_variance(selection.take(activations, group))
    array, tokens = selection.rows(activations, group)
    rows, dims = BlockRows({group: tokens}), feature_dims(array)
    columns = flat(array)
    make = partial(FeatureMoments, rows, group)
    sizes = {"number": 2, "feature": columns.sizes["feature"]}
    found = folded(make, sizes, columns, wanted=rows.any).data
    # (layer, number, head, d_head)
    split = found.reshape(len(columns), 2, *(array.sizes[dim] for dim in dims))
    each = xr.DataArray(split, dims=("layer", "number", *dims), coords=array.coords)
    return xr.Dataset({"variance": each.isel(number=0), "mean": each.isel(number=1)})


def variance_draws(dataset: xr.Dataset, selection: Grouped, drawn: Resampling) -> xr.DataArray:
    """Return ``variance`` of clusters that are drawn again: (resample, group, projection, layer).

    Lazy, float64. A resample with fewer than two tokens of a group is NaN. Memory: of each layer at
    work a block of tokens, and the sums of all features by block of clusters.
    """
    groups = []
    for group in selection.groups:
        parts = []
        for projection in PROJECTIONS:
            array, tokens = selection.rows(dataset[projection], group)
            rows = BlockRows({group: tokens})
            make = partial(ResampledVariance, rows, drawn, group)
            sizes = {"resample": drawn.resamples}
            parts.append(folded(make, sizes, flat(array), wanted=rows.any))
        groups.append(xr.concat(parts, xr.Variable("projection", list(PROJECTIONS))))
    result: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    if "layer" in dataset.coords:
        result = result.assign_coords(layer=dataset["layer"].values)
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


def flat(activations: xr.DataArray) -> xr.DataArray:
    """Return (layer, token, feature), heads side by side."""
    dims = feature_dims(activations)
    found: xr.DataArray = activations.stack(feature=dims, create_index=False)
    return found.transpose("layer", "token", "feature")
