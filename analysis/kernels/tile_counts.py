"""Histogram, mean |cos| and share of high cosines of tiles, counted while a tile is in cache.

Compiled where numba is installed (the extra ``fast``), by NumPy otherwise: bins and shares are the
same to the last pair, because both add and cut the same float32 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.analysis.kernels.compiled import tile_counter

Floats = npt.NDArray[np.float32]
HIGH = 0.9
SMALL = np.iinfo(np.uint8).max - 1  # bins whose numbers are bytes


@dataclass(frozen=True)
class CosineCounts:
    """What is known of one pair of projections.

    ``count`` (bin,) int64 and, over its defined pairs, float64 moments (NaN without a pair).
    """

    count: npt.NDArray[np.int64]
    mean: float
    mean_abs: float
    std: float
    share_high: float
    pairs: int
    undefined: int


class TileCounts:
    """What tiles of cosines have, which come times ``scale``: in bins, counted from the middle.

    bins: equal, over [-1, 1], each without its upper edge but the last; what rounding puts outside
    counts as -1 or 1.
    """

    def __init__(self, bins: int) -> None:
        self.scale = np.float32(bins / 2)
        self._shift = np.float32(bins / 2 + 1)  # bin b is number b + 1
        self._high = np.float32(HIGH) * self.scale
        # what is below -1, the bins, what is 1 or above
        self._found = np.zeros(bins + 2, dtype=np.int64)
        self._absolute, self._above = 0.0, 0
        self._compiled = tile_counter()
        dtype: Any = np.uint8 if bins < SMALL else np.uint32
        self._numbers: npt.NDArray[np.unsignedinteger] = np.empty(0, dtype=dtype)

    def add(self, tile: Floats, *, triangle: bool) -> None:
        """Count a tile (row, column), which is overwritten.

        With ``triangle`` row i counts from column i + 1 on.
        """
        if self._compiled is None:
            self._add(tile, triangle=triangle)
            return
        absolute, above = self._compiled(
            *(tile, triangle, self._shift, self._high, self._numbers, self._found)
        )
        self._absolute += absolute
        self._above += above

    def found(self, mean: float, std: float, total: int, pairs: int) -> CosineCounts:
        """Return the counts of ``pairs`` of ``total``; mean and std are the caller's."""
        count = self._found[1:-1].copy()
        count[0] += self._found[0]
        count[-1] += self._found[-1]
        mean_abs = self._absolute / float(self.scale) / pairs if pairs else np.nan
        high = self._above / pairs if pairs else np.nan
        return CosineCounts(count, mean, mean_abs, std, high, total, total - pairs)

    def _add(self, tile: Floats, *, triangle: bool) -> None:
        """Count a tile with NumPy.

        Values are cut to the smallest integers that hold them, bin numbers, which ``np.bincount``
        counts: a fifth of ``np.histogram``'s time, and holding Python's lock for less of it.
        """
        masked = 0
        if triangle:  # zeros stand for what does not belong to it
            corner = len(tile)
            tile[:, :corner] *= np.triu(np.ones((corner, corner), dtype=np.float32), 1)
            masked = corner * (corner + 1) // 2
        if len(self._numbers) < tile.size:
            self._numbers = np.empty(tile.size, dtype=self._numbers.dtype)
        numbers = self._numbers[: tile.size]
        np.add(tile.ravel(), self._shift, out=numbers, casting="unsafe")
        self._found += np.bincount(numbers, minlength=len(self._found))
        self._found[int(self._shift)] -= masked
        np.abs(tile, out=tile)
        ones = np.ones(tile.shape[1], dtype=np.float32)
        self._absolute += float((tile @ ones).sum(dtype=np.float64))
        self._above += int(np.count_nonzero(tile > self._high))
