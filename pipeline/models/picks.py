"""Which columns of a module's tensor are a site's: the one place that knows fused layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from actlas.pipeline.models.geometry import Geometry

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pick:
    """Columns of a tensor's last dim.

    - ``whole``: all of them, heads one after the other
    - ``fused``: part 0, 1 or 2 of ``q | k | v``, widths H·D, K·D, K·D (H heads, K key heads, D =
    d_head)
    - ``grouped``: part 0, 1 or 2 of K groups of ``H/K query heads, key, value``, each D wide
    - ``half``: part 0 or 1 of two halves, as of a gate and what it multiplies
    """

    kind: Literal["whole", "fused", "grouped", "half"]
    part: int = 0

    def columns(self, heads: int, width: int, geometry: Geometry) -> IntArray:
        """Return the columns of each head, (head, width); sites without heads have one."""
        plain = np.arange(heads * width).reshape(heads, width)
        if self.kind == "fused":
            queries, keys = geometry.n_head * width, geometry.n_kv_head * width
            return plain + (0, queries, queries + keys)[self.part]
        if self.kind == "grouped":
            return self._grouped(heads, width, geometry)
        return plain + self.part * heads * width if self.kind == "half" else plain

    def _grouped(self, heads: int, width: int, geometry: Geometry) -> IntArray:
        queries = geometry.n_head // geometry.n_kv_head  # of a group
        head = np.arange(heads)
        if self.part == 0:
            slot = head // queries * (queries + 2) + head % queries
        else:
            slot = head * (queries + 2) + queries + self.part - 1
        return slot[:, None] * width + np.arange(width)


WHOLE = Pick("whole")


def fused(part: int) -> Pick:
    """Return q (0), k (1) or v (2) of one output ``q | k | v``."""
    return Pick("fused", part)


def grouped(part: int) -> Pick:
    """Return q (0), k (1) or v (2) of an output in groups of a key head."""
    return Pick("grouped", part)


def half(part: int) -> Pick:
    """Return the first (0) or the second (1) half."""
    return Pick("half", part)


def as_index(columns: IntArray, size: int | None = None) -> slice | IntArray:
    """Return the index of ``columns``, flat.

    A slice, which copies nothing, where they follow each other.

    size: columns of the tensor, where known; all of them are ``slice(None)``.
    """
    flat = columns.reshape(-1)
    if not np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat))):
        return flat
    if flat[0] == 0 and size == len(flat):
        return slice(None)
    return slice(int(flat[0]), int(flat[-1]) + 1)
