"""Cosines of features over many tokens: from the sum of their products, a block at a time.

Of few tokens, columns are multiplied with each other (``cosine_tiles``). Of more than there are
features to speak of, the matrix of products is smaller than the columns: it is summed in float64
while the tokens go by, and its entries over the columns' norms are the cosines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.kernels.cosine_tiles import CONSTANT, TILE
from actlas.analysis.kernels.tile_counts import CosineCounts, TileCounts

Doubles = npt.NDArray[np.float64]

MANY = 1 << 11  # tokens of a group whose columns are held
GATHERED = 1 << 9  # rows that are multiplied at a time: fewer would be all adding up
MOMENTS = 4  # numbers of a pair of projections before its counts, as they are stacked
PAIRS = 2


class ManyCosines:
    """Counts, moments and numbers of pairs of a layer: (pair, bin + MOMENTS + PAIRS).

    pairs: numbers of two projections each. Memory: the products of all features of Q, K and V,
    float64: 184 MB at GPT-2 XL's size.
    """

    def __init__(
        self,
        *,
        rows: BlockRows,
        group: str,
        pairs: tuple[tuple[int, int], ...],
        bins: int,
        center: bool,
    ) -> None:
        self._rows, self._group, self._pairs = rows, group, pairs
        self._bins, self._center = bins, center
        self._waiting: list[Doubles] = []
        self._near, self._sums, self._count = np.zeros(0), np.zeros(0), 0
        self._products, self._edges = np.zeros((0, 0)), np.zeros(0, np.int64)

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in blocks of Q, K and V (token, feature)."""
        chosen = self._rows.rows(self._group, first, len(blocks[0]))
        rows = np.concatenate([block[chosen] for block in blocks], axis=1, dtype=np.float64)
        if not self._count:
            self._edges = np.cumsum([0, *(block.shape[1] for block in blocks)])
            # about a mean near its own little is subtracted from a column that is to be centred
            self._near = rows.mean(0) if self._center else np.zeros(rows.shape[1])
            self._sums = np.zeros(rows.shape[1])
            self._products = np.zeros((rows.shape[1], rows.shape[1]))
        self._count += len(rows)
        rows -= self._near
        self._sums += rows.sum(0)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= GATHERED:
            self._multiply()

    def result(self) -> Doubles:
        """Return (pair, bin + moment + kind)."""
        self._multiply()
        norms = self._norms()
        found = []
        for one, other in self._pairs:
            counts = self._counts(norms, one, other)
            moments = (counts.mean, counts.mean_abs, counts.std, counts.share_high)
            found.append([*counts.count, *moments, counts.pairs, counts.undefined])
        return np.array(found, dtype=np.float64)

    def _multiply(self) -> None:
        """Add the products of the rows that wait; what lies left of the diagonal is left out."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        columns, self._waiting = np.ascontiguousarray(rows.T), []
        for start in range(0, len(columns), TILE):
            part = slice(start, start + TILE)
            self._products[part, start:] += columns[part] @ rows[:, start:]

    def _norms(self) -> Doubles:
        """Return the norm of each column, NaN of one that has no direction."""
        squares, mean = np.diagonal(self._products).copy(), self._sums / self._count
        whole = squares
        if self._center:
            squares = squares - self._count * mean * mean
            whole = squares + self._count * (self._near + mean) ** 2
        norm, size = np.sqrt(squares.clip(0)), np.sqrt(whole)
        defined = np.isfinite(norm) & (norm > (CONSTANT * size if self._center else 0.0))
        return np.where(defined, norm, np.nan)

    def _counts(self, norms: Doubles, one: int, other: int) -> CosineCounts:
        """Count the cosines of one pair of projections."""
        rows, columns = (
            np.arange(self._edges[number], self._edges[number + 1]) for number in (one, other)
        )
        within = one == other
        size = len(rows)
        total = size * (size - 1) // 2 if within else size * len(columns)
        rows, columns = (part[~np.isnan(norms[part])] for part in (rows, columns))
        known = len(rows)
        pairs = known * (known - 1) // 2 if within else known * len(columns)
        tiles, sums = TileCounts(self._bins), np.zeros(2)
        for start in range(0, known, TILE):
            part, first = rows[start : start + TILE], start if within else 0
            cosines = self._cosines(norms, part, columns[first:])
            inner = np.triu(cosines, 1) if within else cosines
            sums += inner.sum(), np.vecdot(inner, inner).sum()
            tiles.add((cosines * tiles.scale).astype(np.float32), triangle=within)
        mean = sums[0] / pairs if pairs else np.nan
        std = np.sqrt(max(0.0, sums[1] / pairs - mean**2)) if pairs else np.nan
        return tiles.found(float(mean), float(std), total, pairs)

    def _cosines(
        self, norms: Doubles, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> Doubles:
        """Return the cosines (row, column) of features, none left of the diagonal."""
        found = self._products[np.ix_(rows, columns)]
        if self._center:
            found -= np.outer(self._sums[rows], self._sums[columns]) / self._count
        found /= norms[rows, np.newaxis]
        found /= norms[columns]
        return found.clip(-1, 1, out=found)
