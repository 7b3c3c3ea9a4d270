"""Variances of features, block after block: what is kept does not grow with the tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.resampling import Floats, Resampling, add_by_block

RESAMPLES_AT_ONCE = 1 << 8  # whose sums over all features are held


class FeatureMoments:
    """Mean and variance (ddof=1) of features, merged as Chan, Golub and LeVeque do."""

    def __init__(self, rows: BlockRows, group: str) -> None:
        self._rows, self._group = rows, group
        self._count, self._mean, self._square = 0, np.zeros(()), np.zeros(())

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in a block (token, feature)."""
        chosen = blocks[0][self._rows.rows(self._group, first, len(blocks[0]))]
        part, total = chosen.astype(np.float64), self._count + len(chosen)
        mean = part.mean(0)
        part -= mean
        away = mean - self._mean
        self._square = self._square + np.einsum("tf,tf->f", part, part)
        self._square += away * away * (self._count * len(part) / total)
        self._mean = self._mean + away * (len(part) / total)
        self._count = total

    def result(self) -> Floats:
        """Return (variance and mean, feature)."""
        return np.stack([self._square / (self._count - 1), self._mean])


class ResampledVariance:
    """Sums of features by block of clusters, from which come the variances of all resamples."""

    def __init__(self, rows: BlockRows, drawn: Resampling, group: str) -> None:
        self._rows, self._drawn, self._group = rows, drawn, group
        self._near: Floats | None = None  # a mean: squares about it keep their digits
        self._squares = np.zeros(drawn.blocks)
        self._sums = np.zeros((drawn.blocks, 0))

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in a block (token, feature)."""
        where = (self._group, first, len(blocks[0]))
        part = blocks[0][self._rows.rows(*where)].astype(np.float64)
        block = self._drawn.block[self._group][self._rows.places(*where)]
        if self._near is None:
            self._near = part.mean(0)
            self._sums = np.zeros((self._drawn.blocks, part.shape[1]))
        part -= self._near
        add_by_block(self._squares, block, np.vecdot(part, part) / part.shape[1])
        add_by_block(self._sums, block, part)

    def result(self) -> Floats:
        """Return the variance of every resample, averaged over features: (resample,)."""
        size, found = self._drawn.tokens(self._group), np.full(self._drawn.resamples, np.nan)
        for start in range(0, self._drawn.resamples, RESAMPLES_AT_ONCE):
            part = slice(start, start + RESAMPLES_AT_ONCE)
            weights, tokens = self._drawn.weights[part], size[part]
            sums = weights @ self._sums  # (resample, feature)
            within = weights @ self._squares - np.vecdot(sums, sums) / sums.shape[1] / tokens.clip(
                1
            )
            found[part] = np.where(tokens > 1, within / (tokens - 1).clip(1), np.nan)
        return found
