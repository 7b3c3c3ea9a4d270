"""Intervals of groups by clusters: whole clusters of tokens are drawn again, not tokens.

Tokens of a sentence, or sentences of a template, are no independent draws: treated as such they
give intervals that are far too narrow. Source: percentile bootstrap, Efron 1979; of clusters,
Davison and Hinkley 1997, section 3.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.kernels.folding import Accumulator, folded
from actlas.store.errors import UsageError

Floats = npt.NDArray[np.float64]

FEWEST = 2  # resamples, and clusters
MOST_BLOCKS = 2_000  # clusters that are drawn one by one; more are joined at random
BOUNDS = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Resampling:
    """Clusters drawn with replacement, the same draw for all groups of tokens.

    weights: how often each block of clusters is drawn (resample, block). block: of each token of a
    group, two bytes each. With more than MOST_BLOCKS clusters, random ones are joined to blocks of
    equal size.
    """

    weights: Floats
    block: Mapping[str, npt.NDArray[np.integer]]

    @property
    def resamples(self) -> int:
        """How often all clusters are drawn."""
        return len(self.weights)

    @property
    def blocks(self) -> int:
        """How many are drawn each time."""
        return int(self.weights.shape[1])

    def tokens(self, group: str) -> Floats:
        """Return how many tokens of a group each resample has: (resample,)."""
        counts = np.bincount(self.block[group], minlength=self.blocks)
        drawn: Floats = self.weights @ counts
        return drawn


def add_by_block(
    sums: Floats, block: npt.NDArray[np.integer], values: npt.NDArray[np.float64]
) -> None:
    """Add ``values`` (token, …) to the ``sums`` (block, …) of their blocks of clusters."""
    if len(block):
        order = np.argsort(block, kind="stable")
        ordered = block[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sums[ordered[starts]] += np.add.reduceat(values[order], starts, axis=0)


def resampling(clusters: Mapping[str, Indices], *, resamples: int, seed: int) -> Resampling:
    """Draw ``resamples`` times as many clusters as there are.

    clusters: group → cluster of each of its tokens. Raises UsageError for fewer than two.
    """
    if resamples < FEWEST:
        raise UsageError(
            f"{resamples} bootstrap resamples, expected {FEWEST} or more, or 0 for none"
        )
    generator = np.random.default_rng(seed)
    every = _distinct(clusters.values())
    count = min(len(every), MOST_BLOCKS)
    joined = np.arange(count, dtype=np.uint16)  # a number below MOST_BLOCKS of each token
    if len(every) > MOST_BLOCKS:
        joined = (generator.permutation(len(every)) % count).astype(np.uint16)
    draws = generator.multinomial(count, np.full(count, 1 / count), resamples)
    block = {name: joined[np.searchsorted(every, codes)] for name, codes in clusters.items()}
    return Resampling(draws.astype(np.float64), block)


def _distinct(parts: Iterable[npt.NDArray[np.integer]]) -> npt.NDArray[np.integer]:
    """Return the different clusters of all groups, ascending."""
    found = np.empty(0, dtype=np.int64)
    for part in parts:
        found = np.union1d(found, part)
    return found


def mean_draws(
    values: xr.DataArray, groups: Mapping[str, Indices], drawn: Resampling
) -> xr.DataArray:
    """Return the mean of ``values`` (…, token, …) of each group in every resample.

    (resample, group, …), float64; lazy stays lazy. A resample without a token of a group is NaN;
    NaN values are left out. Memory: a block of tokens, and sums by block of clusters.
    """
    sizes = {"resample": drawn.resamples}
    found = _of_groups(values, groups, sizes, partial(_Draws, drawn=drawn))
    return found.transpose("resample", "group", ...)


def group_means(
    values: xr.DataArray, groups: Mapping[str, Indices], *, skipna: bool
) -> xr.DataArray:
    """Return the mean of ``values`` (…, token, …) over the tokens of each group: (group, …).

    float64; lazy stays lazy. NaN of a group without tokens. skipna: leave NaN values out. Memory: a
    block of tokens.
    """
    return _of_groups(values, groups, {}, partial(_Means, skipna=skipna))


def _of_groups(
    values: xr.DataArray,
    groups: Mapping[str, Indices],
    sizes: Mapping[str, int],
    make: Callable[[BlockRows, tuple[int, ...]], Accumulator],
) -> xr.DataArray:
    """Return what accumulators find of groups, place by place: (group, …), ``sizes`` last.

    make: makes one for rows of groups and values (token, …) of the shape that follows ``token``.
    """
    plain = values.drop_vars([name for name, at in values.coords.items() if "token" in at.dims])
    leading = str(plain.dims[0]) if plain.dims[0] != "token" else "place"
    placed = plain if leading in plain.dims else plain.expand_dims(leading)
    rest = [str(dim) for dim in placed.dims if dim not in (leading, "token")]
    placed = placed.transpose(leading, "token", *rest)
    rows, shape = BlockRows(groups), placed.shape[2:]
    every = {"group": len(groups)} | dict(zip(rest, shape, strict=True)) | dict(sizes)
    found = folded(partial(make, rows, shape), every, placed, wanted=rows.any)
    found = found if values.chunks else found.compute()
    found = found.assign_coords({**plain.coords, "group": list(groups)})
    found = found if leading in plain.dims else found.isel({leading: 0})
    return found.transpose("group", *(dim for dim in plain.dims if dim != "token"), *sizes)


class _Means:
    """Sums of values by group, and how many there are."""

    def __init__(self, rows: BlockRows, shape: tuple[int, ...], *, skipna: bool) -> None:
        self._rows, self._skipna = rows, skipna
        self._sums = {name: (np.zeros(shape), np.zeros(shape)) for name in rows}

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in values (token, …)."""
        (values,) = blocks
        for name, (sums, counts) in self._sums.items():
            chosen = values[self._rows.rows(name, first, len(values))].astype(np.float64)
            there = ~np.isnan(chosen) if self._skipna else np.ones_like(chosen, dtype=bool)
            sums += np.where(there, chosen, 0).sum(0)
            counts += np.count_nonzero(there, axis=0)

    def result(self) -> Floats:
        """Return the means (group, …)."""
        with np.errstate(invalid="ignore"):
            return np.stack([sums / counts for sums, counts in self._sums.values()])


class _Draws:
    """Sums of values by group and block of clusters, and how many there are."""

    def __init__(self, rows: BlockRows, shape: tuple[int, ...], drawn: Resampling) -> None:
        self._rows, self._drawn = rows, drawn
        shape = (drawn.blocks, *shape)
        self._sums = {name: (np.zeros(shape), np.zeros(shape)) for name in rows}

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in values (token, …)."""
        (values,) = blocks
        for name, (sums, counts) in self._sums.items():
            chosen = values[self._rows.rows(name, first, len(values))].astype(np.float64)
            block = self._drawn.block[name][self._rows.places(name, first, len(values))]
            there = ~np.isnan(chosen)
            add_by_block(sums, block, np.where(there, chosen, 0))
            add_by_block(counts, block, there.astype(np.float64))

    def result(self) -> Floats:
        """Return the means (group, …, resample)."""
        found, weights = [], self._drawn.weights
        with np.errstate(invalid="ignore", divide="ignore"):
            for sums, counts in self._sums.values():
                means = np.tensordot(weights, sums, 1) / np.tensordot(weights, counts, 1)
                found.append(np.moveaxis(means, 0, -1))
        return np.stack(found)


def bounds(draws: xr.DataArray) -> xr.DataArray:
    """Return the 95 % percentile interval of draws (resample, …): (bound, …).

    Resamples without a value are left out; without any the bounds are NaN.
    """
    whole = draws.chunk({"resample": -1}) if draws.chunks else draws
    found: xr.DataArray = xr.apply_ufunc(
        _percentiles,
        whole,
        input_core_dims=[["resample"]],
        output_core_dims=[["bound"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"bound": len(BOUNDS)}},
    )
    return found.assign_coords(bound=["lower", "upper"]).transpose("bound", ...)


def _percentiles(draws: Floats) -> Floats:
    none = np.isnan(draws).all(-1, keepdims=True)
    found = np.nanpercentile(np.where(none, 0.0, draws), BOUNDS, axis=-1)
    return np.where(none, np.nan, np.moveaxis(found, 0, -1))


def with_intervals(
    result: xr.Dataset, name: str, draws: xr.DataArray, contrasts: Sequence[tuple[str, str]]
) -> xr.Dataset:
    """Return ``result`` with the interval of its variable ``name`` (group, …).

    draws: (resample, group, …). Adds ``<name>_interval`` (bound, group, …).
    """
    interval = bounds(draws)
    interval.attrs["long_name"] = _long_name(draws)
    found = result.assign({f"{name}_interval": interval.transpose("bound", *result[name].dims)})
    return with_contrasts(found, name, contrasts, draws) if contrasts else found


def with_contrasts(
    result: xr.Dataset,
    name: str,
    contrasts: Sequence[tuple[str, str]],
    draws: xr.DataArray | None = None,
) -> xr.Dataset:
    """Return ``result`` with ``<name>_contrast`` (contrast, …), and its interval where drawn.

    A contrast A:B is A minus B of the variable ``name`` (group, …), in its units.
    """
    if not contrasts:
        return result
    names = xr.Variable("contrast", [f"{one}:{other}" for one, other in contrasts])

    def apart(values: xr.DataArray) -> xr.DataArray:
        parts = [
            values.sel(group=a, drop=True) - values.sel(group=b, drop=True) for a, b in contrasts
        ]
        return xr.concat(parts, names)

    difference = apart(result[name])
    described = result[name].attrs.get("long_name", name)
    difference.attrs["long_name"] = f"{described}: the first group minus the second"
    found = result.assign({f"{name}_contrast": difference})
    if draws is None:
        return found
    interval = bounds(apart(draws)).transpose("bound", *difference.dims)
    interval.attrs["long_name"] = f"{_long_name(draws)}, of the difference"
    return found.assign({f"{name}_contrast_interval": interval})


def _long_name(draws: xr.DataArray) -> str:
    return f"95 % percentile interval of {draws.sizes['resample']} bootstraps over clusters"


def chance_cosine(clusters: int, *, center: bool = False) -> float:
    """Return the mean |cosine| of two unrelated columns over that many independent draws.

    A column of m numbers whose direction is uniform on the sphere has, with any other, a cosine
    whose square is Beta(1/2, (m − 1)/2) distributed, so that E|cos| = Γ(m/2) / (√π Γ((m + 1)/2)),
    about √(2/(π m)). Centred columns lie in m − 1 dimensions. Tokens of one cluster are not
    independent: m is the number of clusters, which gives the highest level that chance may reach.
    """
    dimensions = clusters - center
    if dimensions < 1:
        return math.nan
    ratio = math.lgamma(dimensions / 2) - math.lgamma((dimensions + 1) / 2)
    return math.exp(ratio) / math.sqrt(math.pi)
