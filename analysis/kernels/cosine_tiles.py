"""Cosines of all pairs of features, tile by tile while the tile is in cache.

The array core, NumPy in, NumPy out.

A layer of GPT-2 XL has 4800 features and 11.5 million pairs of features. No matrix of them is
ever made: a tile is multiplied into a buffer and counted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# rows of a tile: with 1600 columns of float32 1.3 MB, about a cache; smaller steps make threads
# wait for each other
TILE = 200
HIGH = 0.9
#: a centred column this much smaller than the column itself is float32's rounding: the column is
#: constant
CONSTANT = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Directions:
    """The directions of the features of one projection.

    They are unit vectors over tokens. Features without a direction are left out.
    """

    features: int  # of the projection
    rows: Floats  # (defined feature, token)

    @property
    def defined(self) -> int:
        """Features that have a direction."""
        return len(self.rows)

    @cached_property
    def columns(self) -> Floats:
        """Transpose of ``rows``, contiguous: (token, defined feature)."""
        return np.ascontiguousarray(self.rows.T)

    @cached_property
    def total(self) -> Doubles:
        """Sum of all directions, (token,)."""
        return np.asarray(self.rows.sum(0, dtype=np.float64))

    @cached_property
    def gram(self) -> Doubles:
        """Σ of the outer products of each direction with itself, (token, token)."""
        wide = self.rows.astype(np.float64)
        return np.asarray(wide.T @ wide)

    @cached_property
    def squares(self) -> Doubles:
        """Squared length of each direction: 1 but for rounding."""
        squares: Doubles = (self.rows.astype(np.float64) ** 2).sum(1)
        return squares


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


def unit_columns(columns: npt.NDArray[np.floating], *, center: bool) -> Floats:
    """Return the columns of (token, feature) over their Euclidean norms, as rows.

    The result is (feature, token) in float32.

    With ``center`` each column's mean is taken off first. A column without a direction (norm zero,
    constant when centred, or not finite) has no cosine: its row is NaN.
    """
    wide = columns.T.astype(np.float64)  # (feature, token)
    size = np.linalg.norm(wide, axis=1)
    with np.errstate(invalid="ignore"):
        if center:
            wide -= wide.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(wide, axis=1) if center else size
        defined = np.isfinite(norm) & (norm > (CONSTANT * size if center else 0.0))
        wide /= np.where(defined, norm, np.nan)[:, None]
    return wide.astype(np.float32)


def directions(columns: npt.NDArray[np.floating], *, center: bool) -> Directions:
    """Return the directions of (token, feature) columns; see ``unit_columns``."""
    rows = unit_columns(columns, center=center)
    return Directions(len(rows), rows[~np.isnan(rows[:, 0])])


def count_cosines(left: Directions, right: Directions | None, bins: int) -> CosineCounts:
    """Count the cosines of the features of ``left`` with those of ``right``, or with each other.

    Without ``right``, every pair of ``left`` counts once.

    bins: equal, over [-1, 1], each without its upper edge but the last; what rounding puts outside
    counts as -1 or 1. Pairs with a feature that has no direction are not counted. ``mean`` and
    ``std`` (over pairs, ddof=0) come from the Gram matrices in float64, ``mean_abs`` and the share
    of pairs with |cos| > 0.9 from every single value.
    """
    other = right or left
    total = left.features * other.features if right else left.features * (left.features - 1) // 2
    pairs = left.defined * other.defined if right else left.defined * (left.defined - 1) // 2
    # values in bins: a pass over every tile less than scaling them there
    scale = np.float32(bins / 2)
    histogram, absolute, high = _Histogram(bins, other.defined), 0.0, 0
    ones = np.ones(other.defined, dtype=np.float32)
    for tile, masked in _tiles(left.rows * scale, other.columns, triangle=right is None):
        histogram.add(tile, masked)
        np.abs(tile, out=tile)
        absolute += float((tile @ ones[: tile.shape[1]]).sum(dtype=np.float64))
        high += int(np.count_nonzero(tile > HIGH * scale))
    mean, std = _moments(left, right, pairs)
    share = (absolute / float(scale) / pairs, high / pairs) if pairs else (np.nan, np.nan)
    return CosineCounts(histogram.count, mean, share[0], std, share[1], total, total - pairs)


def _tiles(rows: Floats, columns: Floats, *, triangle: bool) -> Iterator[tuple[Floats, int]]:
    """Yield every tile of ``rows @ columns`` in one buffer, with its masked values.

    The second number says how many of its values are zeros put there as a mask.

    With ``triangle`` only what lies right of the diagonal: a tile on the diagonal has zeros for the
    rest.
    """
    width = columns.shape[1]
    buffer = np.empty(TILE * width, dtype=np.float32)
    above = np.triu(np.ones((TILE, TILE), dtype=np.float32), 1)
    for start in range(0, len(rows), TILE):
        part = rows[start : start + TILE]
        first = start if triangle else 0
        tile = buffer[: len(part) * (width - first)].reshape(len(part), -1)
        np.matmul(part, columns[:, first:], out=tile)
        if triangle:
            corner = len(part)
            tile[:, :corner] *= above[:corner, :corner]
            yield tile, corner * (corner + 1) // 2
        else:
            yield tile, 0


class _Histogram:
    """Counts of equal bins.

    Values come scaled to bins and counted from the middle; cut to the smallest integers that hold
    them, they are bin numbers, which ``np.bincount`` counts.

    A fifth of ``np.histogram``'s time, and holding Python's lock for less of it than fast-histogram
    does, so that threads gain.
    """

    def __init__(self, bins: int, columns: int) -> None:
        self._bins = bins
        self._numbers = np.empty(
            TILE * columns, dtype=np.uint8 if bins < np.iinfo(np.uint8).max - 1 else np.uint32
        )
        # what is below -1, the bins, what is 1 or above
        self._found = np.zeros(bins + 2, dtype=np.int64)

    def add(self, tile: Floats, masked: int) -> None:
        """Count a tile, ``masked`` of whose values are zeros that do not belong to it."""
        numbers = self._numbers[: tile.size]
        # bin b is number b + 1
        np.add(tile.ravel(), np.float32(self._bins / 2 + 1), out=numbers, casting="unsafe")
        self._found += np.bincount(numbers, minlength=self._bins + 2)
        self._found[int(np.float32(self._bins / 2 + 1))] -= masked

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Counts of the bins, what rounding put outside among the first and last."""
        count = self._found[1:-1].copy()
        count[0] += self._found[0]
        count[-1] += self._found[-1]
        return count


def _moments(left: Directions, right: Directions | None, pairs: int) -> tuple[float, float]:
    """Return mean and standard deviation over pairs, without visiting them.

    Σ cos = Σ left · Σ right, and Σ cos² = ⟨leftᵀ left, rightᵀ right⟩; within a projection, half of
    that without the diagonal.
    """
    if not pairs:
        return np.nan, np.nan
    other = right or left
    total, squares = float(left.total @ other.total), float((left.gram * other.gram).sum())
    if right is None:
        total, squares = (
            (total - float(left.squares.sum())) / 2,
            (squares - float((left.squares**2).sum())) / 2,
        )
    mean = total / pairs
    return mean, float(np.sqrt(max(0.0, squares / pairs - mean**2)))
