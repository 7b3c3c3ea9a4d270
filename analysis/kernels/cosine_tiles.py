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

from actlas.analysis.kernels.tile_counts import CosineCounts, TileCounts

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# rows of a tile: with 1600 columns of float32 1.3 MB, about a cache; smaller steps make threads
# wait for each other
TILE = 200
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
    tiles = TileCounts(bins)
    for tile, triangle in _tiles(left.rows * tiles.scale, other.columns, triangle=right is None):
        tiles.add(tile, triangle=triangle)
    mean, std = _moments(left, right, pairs)
    return tiles.found(mean, std, total, pairs)


def _tiles(rows: Floats, columns: Floats, *, triangle: bool) -> Iterator[tuple[Floats, bool]]:
    """Yield every tile of ``rows @ columns`` in one buffer, and whether it is on the diagonal.

    With ``triangle`` only what lies right of the diagonal: of a tile on it, that of its first
    columns.
    """
    width = columns.shape[1]
    buffer = np.empty(TILE * width, dtype=np.float32)
    for start in range(0, len(rows), TILE):
        part = rows[start : start + TILE]
        first = start if triangle else 0
        tile = buffer[: len(part) * (width - first)].reshape(len(part), -1)
        np.matmul(part, columns[:, first:], out=tile)
        yield tile, triangle


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
