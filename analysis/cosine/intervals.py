"""How sure the mean |cosine| is: clusters drawn again, for some pairs of features."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.cosine.compute import PROJECTION_PAIRS
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.resampling import Floats, Resampling, add_by_block
from actlas.analysis.groups.token_groups import Grouped
from actlas.analysis.kernels.folding import folded
from actlas.analysis.variance.compute import PROJECTIONS, flat

SAMPLE = 256  # pairs of features of each pair of projections: enough for the width of an interval

Pairs = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def cosine_draws(
    dataset: xr.Dataset,
    selection: Grouped,
    drawn: Resampling,
    mean_abs: xr.DataArray,
    *,
    center: bool = False,
    seed: int = 0,
) -> xr.DataArray:
    """Return ``mean_abs`` of clusters drawn again: (resample, group, projection_pair, layer).

    Lazy, float64. Of SAMPLE pairs of features, drawn with ``seed``. With fewer different tokens any
    two columns are more alike: the draws lie above what they are of. They are shifted so that their
    mean is ``mean_abs``, and say how far it may be off, not how high chance is.
    """
    groups = []
    for group in selection.groups:
        found = [selection.rows(dataset[projection], group) for projection in PROJECTIONS]
        columns, tokens = [flat(array) for array, _ in found], found[0][1]
        pairs = _pairs([column.sizes["feature"] for column in columns], seed)
        rows = BlockRows({group: tokens})
        make = partial(_Draws, rows, drawn, group, pairs, center=center)
        sizes = {"projection_pair": len(pairs), "resample": drawn.resamples}
        groups.append(folded(make, sizes, *columns, wanted=rows.any))
    joined: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    joined = joined.assign_coords(projection_pair=list(PROJECTION_PAIRS))
    if "layer" in dataset.coords:
        joined = joined.assign_coords(layer=dataset["layer"].values)
    shifted = joined - joined.mean("resample") + mean_abs
    return shifted.transpose("resample", "group", "projection_pair", "layer")


def _pairs(sizes: list[int], seed: int) -> Pairs:
    """Return the features of SAMPLE pairs for each pair of projections, none with itself."""
    generator, found = np.random.default_rng(seed), []
    for one, two in PROJECTION_PAIRS.values():
        left, right = (sizes[PROJECTIONS.index(each)] for each in (one, two))
        rows, columns = (generator.integers(0, size, SAMPLE) for size in (left, right))
        if one == two and left > 1:
            columns = (rows + generator.integers(1, left, SAMPLE)) % left
        found.append((rows, columns))
    return found


class _Draws:
    """Products of the pairs' columns, and with ``center`` their sums, by block of clusters.

    Their sums are taken about a mean near their own, so that little is subtracted in the end.
    """

    def __init__(
        self, rows: BlockRows, drawn: Resampling, group: str, pairs: Pairs, *, center: bool
    ) -> None:
        self._rows, self._drawn, self._group = rows, drawn, group
        self._pairs, self._center = pairs, center
        self._near: list[tuple[Floats, Floats]] = []
        numbers = 5 if center else 3  # xy, xx, yy and, of the centred, x, y
        self._sums = np.zeros((len(pairs), numbers, drawn.blocks, SAMPLE))

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in blocks of Q, K and V (token, feature)."""
        where, names = (self._group, first, len(blocks[0])), list(PROJECTIONS)
        chosen = self._rows.rows(*where)
        block = self._drawn.block[self._group][self._rows.places(*where)]
        begun = bool(self._near)
        for number, (one, two) in enumerate(PROJECTION_PAIRS.values()):
            columns = zip((one, two), self._pairs[number], strict=True)
            x, y = (
                blocks[names.index(name)][chosen][:, features].astype(np.float64)
                for name, features in columns
            )
            if self._center:
                if not begun:
                    self._near.append((x.mean(0), y.mean(0)))
                x, y = x - self._near[number][0], y - self._near[number][1]
            values = (x * y, x * x, y * y, x, y)
            for sums, each in zip(self._sums[number], values, strict=False):
                add_by_block(sums, block, each)

    def result(self) -> Floats:
        """Return the mean |cosine| in every resample: (projection_pair, resample)."""
        size = self._drawn.tokens(self._group)[:, None].clip(1)
        return np.stack([self._mean_abs(sums, size) for sums in self._sums])

    def _mean_abs(self, sums: Floats, size: Floats) -> Floats:
        """Return the mean |cosine| of the pairs in every resample: (resample,)."""
        both, one, other = (self._drawn.weights @ each for each in sums[:3])
        if self._center:
            mean_x, mean_y = (self._drawn.weights @ each for each in sums[3:])
            both -= mean_x * mean_y / size
            one -= mean_x**2 / size
            other -= mean_y**2 / size
        norm = np.sqrt(one.clip(0)) * np.sqrt(other.clip(0))
        cosine = np.divide(np.abs(both), norm, out=np.full_like(norm, np.nan), where=norm > 0)
        there = ~np.isnan(cosine)
        count = there.sum(1)
        total = np.where(there, cosine.clip(max=1), 0).sum(1)
        mean: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
        return mean
