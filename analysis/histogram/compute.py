"""Histograms of the values of a site, by group of tokens and layer: on bins that a sample fixes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.group_names import WHOLE
from actlas.analysis.groups.resampling import Resampling, mean_draws
from actlas.analysis.kernels.streaming import Floats, Indices, by_place, by_token, tiles

SAMPLE = 1 << 20  # values of a layer that fix its bins, at most about
OUTER = (0.001, 0.999)  # quantiles of the sample between which the bins lie
POWERS = ("tokens", "first", "second", "third", "zeros")  # sums that are kept beside the counts
MEANINGS = {
    "density": "share of values a unit of the activation, within the bin",
    "count": "values in the bin",
    "outside": "share of values below the first bin or above the last",
    "mean": "mean of the values",
    "std": "standard deviation of the values",
    "skew": "third standardised moment of the values",
    "share_zero": "share of values that are exactly 0",
    "distance": "Wasserstein-1 distance to all tokens that are looked at, within the bins",
}


def value_histogram(
    activations: xr.DataArray, groups: Mapping[str, Indices], *, bins: int
) -> xr.Dataset:
    """Count the values of ``activations`` (layer or depth, token, …) by group of tokens; lazy.

    groups: one of them is of all tokens that are looked at. Bins are equal and lie between OUTER
    quantiles of a sample of each layer, which is read now; what is outside is counted apart, and
    part of the moments. Returns, by (group, layer or depth): ``count`` int64 and ``density`` (…,
    bin), with ``bin_edge`` (layer or depth, edge) in the units of the activations; ``outside``,
    ``mean``, ``std`` (ddof=0), ``skew``, ``share_zero`` and ``distance`` float64. A group without
    tokens has NaN. Memory: one block, and the sample.
    """
    plain = flattened(activations)
    place, edges = str(plain.dims[0]), _edges(plain, bins)
    members = [_member(plain.sizes["token"], tokens) for tokens in groups.values()]
    size = len(members) * (bins + len(POWERS))
    parts = []
    for at, edge in enumerate(edges):
        kernel = partial(_kernel, members=members, edges=edge)
        parts.append(by_place(kernel, _merge, size, plain.isel({place: [at]})))
    found = xr.concat(parts, place).data.reshape(len(edges), len(members), -1)
    sums = xr.DataArray(found, dims=(place, "group", "number")).transpose("group", place, "number")
    numbers = plain[place].values if place in plain.coords else np.arange(len(edges))
    labelled = sums.assign_coords({"group": list(groups), place: numbers})
    return _described(labelled, xr.DataArray(edges, dims=(place, "edge")), list(groups))


def mean_value_draws(
    activations: xr.DataArray, groups: Mapping[str, Indices], drawn: Resampling
) -> xr.DataArray:
    """Mean values of clusters drawn again: (resample, group, layer or depth), float64, lazy.

    activations: as ``value_histogram`` takes them.
    """
    return mean_draws(by_token(_mean, 1, flattened(activations)).isel(quantity=0), groups, drawn)


def flattened(activations: xr.DataArray) -> xr.DataArray:
    """Return ``activations`` as (layer or depth, token, vector), heads side by side."""
    place, *rest = (str(dim) for dim in activations.dims)
    inner = [dim for dim in rest if dim != "token"]
    plain = activations.drop_vars([name for name in activations.coords if name != place])
    return plain.stack(vector=inner, create_index=False) if len(inner) > 1 else plain


def _mean(rows: Floats) -> Floats:
    means: Floats = rows.mean(1)
    return means[np.newaxis]


def _edges(plain: xr.DataArray, bins: int) -> Floats:
    """Return the edges of the bins of each layer: (layer, bins + 1)."""
    values = plain.sizes["token"] * plain.shape[-1]
    sample = plain.isel(token=slice(None, None, max(1, -(-values // SAMPLE))))
    low, high = np.nanquantile(sample.values.astype(np.float64), OUTER, axis=(1, 2))
    flat = ~(high > low)  # a layer of one value has a bin around it
    reach = np.where(flat, np.maximum(np.abs(low), 1) * 1e-3, 0)
    return np.linspace(low - reach, high + reach, bins + 1, axis=-1)


def _member(count: int, tokens: Indices) -> npt.NDArray[np.bool_]:
    member = np.zeros(count, dtype=bool)
    member[tokens] = True
    return member


def _kernel(
    tokens: Indices,
    block: npt.NDArray[Any],
    *,
    members: Sequence[npt.NDArray[np.bool_]],
    edges: Floats,
) -> Floats:
    """Return of a block (token, vector) the counts and POWERS of each group: (group · number,)."""
    middle, width = (edges[0] + edges[-1]) / 2, edges[-1] - edges[0]
    found = []
    for member in members:
        sums = np.zeros(len(edges) - 1 + len(POWERS))
        for _, (values,) in tiles(block[member[tokens]]):
            # about the middle of the bins, in units of their width: sums of powers keep their
            # digits
            scaled = (values - middle) / width
            counts, _ = np.histogram(values, bins=edges)
            powers = [np.sum(scaled**power) for power in (1, 2, 3)]
            sums += np.concatenate([counts, [values.size, *powers, np.count_nonzero(values == 0)]])
        found.append(sums)
    return np.concatenate(found)


def _merge(parts: Floats) -> Floats:
    merged: Floats = parts.sum(0)
    return merged


def _described(sums: xr.DataArray, edges: xr.DataArray, groups: list[str]) -> xr.Dataset:
    bins = edges.sizes["edge"] - 1
    counts = sums.isel(number=slice(bins)).rename(number="bin")
    size, first, second, third, zeros = (sums.isel(number=bins + at) for at in range(len(POWERS)))
    middle = (edges.isel(edge=0) + edges.isel(edge=-1)) / 2
    width = edges.isel(edge=-1) - edges.isel(edge=0)
    there = size.where(size > 0)
    mean, square, cube = first / there, second / there, third / there
    variance = (square - mean**2).clip(0)
    shares = counts / there
    whole = next(name for name in WHOLE if name in groups)
    away = shares.cumsum("bin") - shares.sel(group=whole).cumsum("bin")
    skew = (cube - 3 * mean * square + 2 * mean**3) / variance.where(variance > 0) ** 1.5
    result = xr.Dataset(
        {
            "count": counts.astype(np.int64),
            "density": shares * bins / width,
            "outside": 1 - shares.sum("bin", skipna=False),
            "mean": mean * width + middle,
            "std": variance**0.5 * width,
            "skew": skew,
            "share_zero": zeros / there,
            "distance": abs(away).sum("bin", skipna=False) * width / bins,
        }
    )
    for name, meaning in MEANINGS.items():
        result[name].attrs["long_name"] = meaning
    return result.assign_coords(bin_edge=edges)
