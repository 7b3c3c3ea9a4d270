"""Norms of groups of tokens, block after block: what is kept does not grow with the tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.kernels import distribution
from actlas.analysis.kernels.distribution import Distribution
from actlas.analysis.kernels.streaming import Floats, tiles
from actlas.analysis.norms.depths import spread

STATISTICS = ("mean", "lower quartile", "median", "upper quartile", "largest")
QUANTILES = (0.25, 0.5, 0.75)
PART = 256  # squares that are summed as they are stored, before float64 takes over
#: sums of squares between which all of those in float32 are safe
SMALLEST, LARGEST = 1e-25, 1e37


def kept(rows: BlockRows, names: tuple[str, ...], series: int) -> bool:
    """Whether there are so few norms of the groups that all are kept, for exact quantiles."""
    return sum(rows.size(name) for name in names) * series <= distribution.EXACT


class NormsByGroup:
    """STATISTICS of Euclidean norms, of each head where there are any: (group, [head,] 5)."""

    def __init__(self, rows: BlockRows, names: tuple[str, ...], heads: tuple[int, ...]) -> None:
        self._rows, self._heads = rows, heads
        series = int(np.prod(heads, dtype=np.int64))
        exact = kept(rows, names, series)
        self._found = {name: Distribution(rows.size(name), series, exact=exact) for name in names}

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in a block (token, [head,] vector)."""
        (block,) = blocks
        norms = norm(block.reshape(-1, block.shape[-1])).reshape(len(block), -1)  # (token, head)
        for name, found in self._found.items():
            found.add(norms[self._rows.rows(name, first, len(block))])

    def result(self) -> Floats:
        """Return (group, [head,] statistic)."""
        found = [each.statistics(QUANTILES) for each in self._found.values()]
        return np.stack(found).reshape(len(found), *self._heads, len(STATISTICS))


class Stream:
    """The residual stream behind a layer, and what is written into it: (group, number).

    The numbers are STATISTICS of the norm, standard deviation and step; for each writer STATISTICS
    of the norm of what it writes and its share follow. steps: whether a layer leads to the depth.
    """

    def __init__(
        self, rows: BlockRows, names: tuple[str, ...], *, writers: int, steps: bool = True
    ) -> None:
        self._rows, self._steps = rows, steps
        exact = kept(rows, names, 1 + writers)
        self._groups = {name: _OfGroup(rows.size(name), writers, exact=exact) for name in names}

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in the stream and, where a layer leads there, the one before and what it writes."""
        writers = max(0, len(blocks) - 2)
        numbers = np.full((4 + 2 * writers, len(blocks[0])), np.nan)
        for part, tile in tiles(*blocks):
            found = _of_rows(*tile) if self._steps else spread(tile[0])
            numbers[: len(found), part] = found
        for name, group in self._groups.items():
            group.add(numbers[:, self._rows.rows(name, first, len(blocks[0]))], blocks[0].shape[1])

    def result(self) -> Floats:
        """Return (group, number)."""
        return np.stack([group.result() for group in self._groups.values()])


class _OfGroup:
    """The stream at the tokens of one group."""

    def __init__(self, size: int, writers: int, *, exact: bool) -> None:
        self._norms = [Distribution(size, 1, exact=exact) for _ in range(1 + writers)]
        self._count = 0
        self._within, self._step, self._shares = 0.0, 0.0, np.zeros(writers)
        self._mean, self._between = 0.0, 0.0  # of the rows' means, and their centred square

    def add(self, numbers: Floats, width: int) -> None:
        """Take in the numbers (quantity, token) of rows that are ``width`` wide."""
        count = numbers.shape[1]
        if not count:
            return
        for each, norms in zip(self._norms, numbers[[0, *range(4, len(numbers), 2)]], strict=True):
            each.add(norms[:, np.newaxis])
        _, mean, square, step = numbers[:4]
        self._within += float(square.sum()) / width
        self._step += float(step.sum())
        self._shares += numbers[5::2].sum(1)
        # Chan, Golub and LeVeque: within the parts, and between their means
        total, away = self._count + count, float(mean.mean()) - self._mean
        self._between += float(((mean - mean.mean()) ** 2).sum())
        self._between += away * away * self._count * count / total
        self._mean += away * count / total
        self._count = total

    def result(self) -> Floats:
        """Return the numbers of the group, NaN of one without tokens."""
        own, *written = (each.statistics(QUANTILES)[0] for each in self._norms)
        if not self._count:
            return np.full(len(own) + 2 + len(written) * (len(own) + 1), np.nan)
        std = np.sqrt((self._within + self._between) / self._count)
        parts = [own, [std, np.sqrt(self._step)]]
        for norms, share in zip(written, self._shares / self._count, strict=True):
            parts += [norms, [share]]
        return np.concatenate(parts)


def _of_rows(after: Floats, before: Floats, *outs: Floats) -> Floats:
    """Return of every row norm, mean, centred square and step of the stream.

    Norm and share of each of ``outs`` follow.
    """
    np.subtract(after, before, out=before)
    numbers = [*spread(after), np.vecdot(before, before)]
    # a stream that was scaled to 0 is nobody's: NaN
    with np.errstate(invalid="ignore", divide="ignore"):
        for out in outs:
            numbers += [norm(out), np.vecdot(out, after) / (numbers[0] * numbers[0])]
    return np.stack(numbers)


def norm(rows: npt.NDArray[np.floating]) -> Floats:
    """Return the Euclidean norm of each of ``rows`` (row, vector): (row,).

    Squares do not cancel: sums of PART of them in float32 keep its digits, and cost half of what
    float64 does.
    """
    squares = np.zeros(len(rows))
    with np.errstate(over="ignore", under="ignore"):
        for start in range(0, rows.shape[1], PART):
            part = rows[:, start : start + PART]
            squares += np.vecdot(part, part)
    # the square of a value may lie outside float32
    unsure = ~((squares > SMALLEST) & (squares < LARGEST))
    if unsure.any():
        wide = rows[unsure].astype(np.float64)
        squares[unsure] = np.vecdot(wide, wide)
    return np.sqrt(squares)
