"""Cosines of all pairs of features, tile by tile while the tile is in cache: the array core, NumPy in, NumPy out.

A layer of GPT-2 XL has 4800 features and 11.5 million pairs in the six blocks. No matrix of them is ever made: a tile is
multiplied into a buffer and counted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

Floats = npt.NDArray[np.float32]

TILE = 64  # rows of a tile; with 1600 columns, a tile and what is made of it take 1.3 MB: a core's second-level cache
HIGH = 0.9
#: a centred column this much smaller than the column itself is float32's rounding: the column is constant
CONSTANT = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class BlockCounts:
    """What is known of one block: ``count`` (bin,) int64 and, over its defined pairs, float64 moments (NaN without a pair)."""

    count: npt.NDArray[np.int64]
    mean: float
    mean_abs: float
    std: float
    share_high: float
    pairs: int
    undefined: int


def unit_columns(columns: npt.NDArray[np.floating], *, center: bool) -> Floats:
    """Return the columns of (token, feature) over their Euclidean norms, as rows: (feature, token) float32.

    With ``center`` each column's mean is taken off first. A column without a direction (norm zero, constant when centred, or
    not finite) has no cosine: its row is NaN.
    """
    wide = columns.T.astype(np.float64)  # (feature, token)
    size = np.linalg.norm(wide, axis=1)
    if center:
        wide = wide - wide.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(wide, axis=1)
    defined = np.isfinite(norm) & (norm > (CONSTANT * size if center else 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(defined[:, None], wide / norm[:, None], np.nan).astype(np.float32)


def block_counts(left: Floats, right: Floats | None, bins: int) -> BlockCounts:
    """Count the cosines of the rows of ``left`` with those of ``right``, or, without, of every pair of ``left`` once.

    left, right: of ``unit_columns``. bins: equal, over [-1, 1], each without its upper edge but the last; what rounding puts
    outside counts as -1 or 1. Pairs with a NaN row are not counted. ``mean`` and ``std`` (over pairs, ddof=0) come from
    the Gram matrices in float64, ``mean_abs`` and the share of pairs with |cos| > 0.9 from every single value.
    """
    total = len(left) * (len(left) - 1) // 2 if right is None else len(left) * len(right)
    left = _defined(left)
    other = left if right is None else _defined(right)
    pairs = len(left) * (len(left) - 1) // 2 if right is None else len(left) * len(other)
    scale = np.float32(bins / 2)  # values in bins: a pass over every tile less than scaling them there
    histogram, absolute, high = _Histogram(bins, len(other)), 0.0, 0
    for tile, masked in _tiles(left * scale, other, triangle=right is None):
        histogram.add(tile, masked)
        np.abs(tile, out=tile)
        absolute += float((tile @ np.ones(tile.shape[1], dtype=np.float32)).sum(dtype=np.float64))
        high += int(np.count_nonzero(tile > HIGH * scale))
    mean, std = _moments(left, None if right is None else other, pairs)
    share = (absolute / float(scale) / pairs, high / pairs) if pairs else (np.nan, np.nan)
    return BlockCounts(histogram.count, mean, share[0], std, share[1], total, total - pairs)


def _defined(rows: Floats) -> Floats:
    return np.ascontiguousarray(rows[~np.isnan(rows).any(axis=1)])


def _tiles(left: Floats, right: Floats, *, triangle: bool) -> Iterator[tuple[Floats, int]]:
    """Yield every tile of ``left @ right.T`` in one buffer, and how many of its values are zeros put there as a mask.

    With ``triangle`` only what lies right of the diagonal: a tile on the diagonal has zeros for the rest.
    """
    columns = np.ascontiguousarray(right.T)  # (token, feature)
    buffer = np.empty(TILE * len(right), dtype=np.float32)
    above = np.triu(np.ones((TILE, TILE), dtype=np.float32), 1)
    for start in range(0, len(left), TILE):
        rows = left[start : start + TILE]
        first = start if triangle else 0
        tile = buffer[: len(rows) * (len(right) - first)].reshape(len(rows), -1)
        np.matmul(rows, columns[:, first:], out=tile)
        if triangle:
            corner = len(rows)
            tile[:, :corner] *= above[:corner, :corner]
            yield tile, corner * (corner + 1) // 2
        else:
            yield tile, 0


class _Histogram:
    """Counts of equal bins: values, scaled to bins from the middle, become bin numbers in the smallest integers that hold them.

    A fifth of ``np.histogram``'s time, and holding Python's lock for less of it than fast-histogram does, so that threads gain.
    """

    def __init__(self, bins: int, columns: int) -> None:
        self._bins = bins
        self._numbers = np.empty(TILE * columns, dtype=np.uint8 if bins < np.iinfo(np.uint8).max - 1 else np.uint32)
        self._found = np.zeros(bins + 2, dtype=np.int64)  # what is below -1, the bins, what is 1 or above

    def add(self, tile: Floats, masked: int) -> None:
        """Count a tile, ``masked`` of whose values are zeros that do not belong to it."""
        numbers = self._numbers[: tile.size]
        np.add(tile.ravel(), np.float32(self._bins / 2 + 1), out=numbers, casting="unsafe")  # bin b is number b + 1
        self._found += np.bincount(numbers, minlength=self._bins + 2)
        self._found[int(np.float32(self._bins / 2 + 1))] -= masked

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Counts of the bins, what rounding put outside among the first and last."""
        count = self._found[1:-1].copy()
        count[0] += self._found[0]
        count[-1] += self._found[-1]
        return count


def _moments(left: Floats, right: Floats | None, pairs: int) -> tuple[float, float]:
    """Return mean and standard deviation over pairs, without visiting them.

    Σ cos = Σ left · Σ right, and Σ cos² = ⟨leftᵀ left, rightᵀ right⟩; within a block, half of that without the diagonal.
    """
    if not pairs:
        return np.nan, np.nan
    one = left.astype(np.float64)
    two = one if right is None else right.astype(np.float64)
    total = float(one.sum(0) @ two.sum(0))
    squares = float(((one.T @ one) * (two.T @ two)).sum())
    if right is None:
        diagonal = (one**2).sum(1)
        total, squares = (total - float(diagonal.sum())) / 2, (squares - float((diagonal**2).sum())) / 2
    mean = total / pairs
    return mean, float(np.sqrt(max(0.0, squares / pairs - mean**2)))


class _BlasLimit:
    """One BLAS thread while any thread counts tiles: dask runs a layer on each core already."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the limit; the last to leave lifts it."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._limiter = ThreadpoolController().limit(limits=1, user_api="blas")
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._limiter.restore_original_limits()


one_blas_thread = _BlasLimit()
