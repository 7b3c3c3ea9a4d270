"""Counts, means and centred sums of squares and products of two variables.

They can be merged without losing digits.

Chan, Golub and LeVeque 1979: centred sums of parts and the spread of the parts' means give those of
the whole; no sum of squares is ever subtracted from another, so that values of 1e4 beside others of
1e-3 keep their digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FIELDS = ("count", "mean_x", "mean_y", "square_x", "square_y", "product")


def moments(x: Floats, y: Floats, level: npt.NDArray[np.int64], levels: int) -> Floats:
    """Return the moments of the pairs of each level: (6, levels), in the order of FIELDS.

    x, y: float64 of one shape, in 1-D. level: of each pair, 0 … levels − 1.
    """
    count = np.bincount(level, minlength=levels).astype(np.float64)
    at_least_one = np.maximum(count, 1)
    mean_x, mean_y = (np.bincount(level, values, levels) / at_least_one for values in (x, y))
    from_x, from_y = x - mean_x[level], y - mean_y[level]
    sums = [
        np.bincount(level, values, levels)
        for values in (from_x * from_x, from_y * from_y, from_x * from_y)
    ]
    return np.stack([count, mean_x, mean_y, *sums])


def moments_of_all(x: Floats, y: Floats) -> Floats:
    """Return the moments of all pairs: (6,)."""
    mean_x, mean_y = x.mean(), y.mean()
    from_x, from_y = (x - mean_x).ravel(), (y - mean_y).ravel()
    return np.array([x.size, mean_x, mean_y, from_x @ from_x, from_y @ from_y, from_x @ from_y])


def merged(parts: Floats) -> Floats:
    """Return the moments of several parts together.

    (part, 6, …) → (6, …). Parts of nothing change nothing.
    """
    count, mean_x, mean_y, square_x, square_y, product = np.moveaxis(parts, 1, 0)
    total = count.sum(0)
    shares = count / np.maximum(total, 1)
    whole_x, whole_y = (shares * mean_x).sum(0), (shares * mean_y).sum(0)
    away_x, away_y = mean_x - whole_x, mean_y - whole_y
    sums = [
        (square_x + count * away_x * away_x).sum(0),
        (square_y + count * away_y * away_y).sum(0),
        (product + count * away_x * away_y).sum(0),
    ]
    return np.stack([total, whole_x, whole_y, *sums])


def correlation(parts: Floats) -> Floats:
    """Return Pearson's r of moments (6, …): (…).

    NaN where a variable is constant or there is nothing.
    """
    _, _, _, square_x, square_y, product = parts
    spread = np.sqrt(square_x) * np.sqrt(square_y)
    result: Floats = np.divide(product, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    return result.clip(-1, 1)
