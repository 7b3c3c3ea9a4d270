"""How far the values of two groups lie apart, how sure that is, and what chance would give.

Two histograms of few tokens are never equal: the distance between groups is above 0 by chance, the
more so the fewer clusters there are. What it would be if groups meant nothing is found by giving
whole clusters to the groups at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.groups.resampling import Resampling, bounds
from actlas.analysis.kernels.streaming import Floats, Indices, by_place

PERMUTATIONS = 200
MEANINGS = {
    "group_distance": "Wasserstein-1 distance between the values of two groups, within the bins",
    "group_distance_chance": f"its mean over {PERMUTATIONS} permutations of clusters to groups",
    "group_distance_chance_upper": "its 95 % quantile over them",
    "group_distance_interval": "95 % percentile interval over clusters",
}


def group_distances(
    plain: xr.DataArray,
    edges: Floats,
    groups: Mapping[str, Indices],
    contrasts: Sequence[tuple[str, str]],
    drawn: Resampling,
    *,
    seed: int,
) -> xr.Dataset:
    """Return the variables of MEANINGS, (contrast, place), the interval (bound, …); lazy, float64.

    plain: (layer or depth, token, vector). edges: of the bins of each place (place, bins + 1).
    """
    place, bins = str(plain.dims[0]), edges.shape[1] - 1
    counts = _cluster_counts(plain, edges, groups, drawn)
    names, joined = list(groups), []
    for one, other in contrasts:
        measure = partial(
            _measured,
            drawn=drawn,
            shape=(len(names), drawn.blocks, bins),
            pair=(names.index(one), names.index(other)),
            seed=seed,
        )
        found = xr.apply_ufunc(
            measure,
            counts.chunk({"quantity": -1}),
            input_core_dims=[["quantity"]],
            output_core_dims=[["number"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"number": 3 + drawn.resamples}},
        )
        joined.append(found)
    labels = [f"{one}:{other}" for one, other in contrasts]
    numbers = xr.concat(joined, xr.Variable("contrast", labels))
    width = xr.DataArray((edges[:, -1] - edges[:, 0]) / bins, dims=place)
    numbers = (numbers * width).transpose("number", "contrast", place)
    draws = numbers.isel(number=slice(3, None)).rename(number="resample")
    measured = [numbers.isel(number=number) for number in range(3)]
    result = xr.Dataset(dict(zip(MEANINGS, [*measured, bounds(draws)], strict=True)))
    for name, meaning in MEANINGS.items():
        result[name].attrs["long_name"] = meaning
    return result


def _cluster_counts(
    plain: xr.DataArray, edges: Floats, groups: Mapping[str, Indices], drawn: Resampling
) -> xr.DataArray:
    """Return the values in each bin by group and block of clusters: (place, quantity), lazy."""
    codes = []
    for name, tokens in groups.items():
        code = np.full(plain.sizes["token"], -1, dtype=np.int16)  # of at most MOST_BLOCKS
        code[tokens] = drawn.block[name]
        codes.append(code)
    place, size = str(plain.dims[0]), len(codes) * drawn.blocks * (edges.shape[1] - 1)
    parts = []
    for at, edge in enumerate(edges):
        kernel = partial(_kernel, codes=codes, edges=edge, blocks=drawn.blocks)
        parts.append(by_place(kernel, _sum, size, plain.isel({place: [at]})))
    return xr.concat(parts, place)


def _kernel(
    tokens: Indices,
    block: npt.NDArray[Any],
    *,
    codes: Sequence[Indices],
    edges: Floats,
    blocks: int,
) -> Floats:
    """Return the counts of a block (token, vector): flat (group · block of clusters · bin,)."""
    bins, found = len(edges) - 1, []
    for code in codes:
        rows = np.flatnonzero(code[tokens] >= 0)
        values = block[rows].astype(np.float64)
        number = np.searchsorted(edges, values, side="right") - 1
        number[values == edges[-1]] = bins - 1  # the last bin has its upper edge too
        inside = (number >= 0) & (number < bins)
        key = code[tokens[rows]][:, np.newaxis].astype(np.int64) * bins + number
        found.append(np.bincount(key[inside], minlength=blocks * bins))
    return np.concatenate(found).astype(np.float64)


def _sum(parts: Floats) -> Floats:
    merged: Floats = parts.sum(0)
    return merged


def _measured(
    counts: Floats,
    *,
    drawn: Resampling,
    shape: tuple[int, int, int],
    pair: tuple[int, int],
    seed: int,
) -> Floats:
    """Return distance, its mean and quantile by chance, and draws, in bins: (place, number)."""
    found = []
    for of_place in counts.reshape(len(counts), *shape):
        one, other = (of_place[number] for number in pair)  # (block, bin)
        real = _distance(one.sum(0)[np.newaxis], other.sum(0)[np.newaxis])
        cells = np.concatenate([one[one.any(1)], other[other.any(1)]])
        mine = np.zeros((PERMUTATIONS, len(cells)))
        mine[:, : int(one.any(1).sum())] = 1
        mine = np.random.default_rng(seed).permuted(mine, axis=1)
        chance = _distance(mine @ cells, (1 - mine) @ cells)
        draws = _distance(drawn.weights @ one, drawn.weights @ other)
        found.append([*real, chance.mean(), np.quantile(chance, 0.95), *draws])
    return np.array(found)


def _distance(one: Floats, other: Floats) -> Floats:
    """Return the Wasserstein-1 distances of counts (…, bin), in bins: (…,)."""
    shares = []
    for counts in (one, other):
        total = counts.sum(-1, keepdims=True)
        empty = np.full_like(counts, np.nan)
        shares.append(np.divide(counts, total, out=empty, where=total > 0))
    away: Floats = np.abs(np.cumsum(shares[0] - shares[1], axis=-1)).sum(-1)
    return away
