"""The counting of tiles in machine code, where numba is installed; it is imported by who counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

#: tile, triangle, shift, high, an array of the dtype of bin numbers, counts → Σ |value|, values
#: above high; counts are added to
TileCounter = Callable[
    [
        npt.NDArray[np.float32],
        bool,
        np.float32,
        np.float32,
        npt.NDArray[np.unsignedinteger],
        npt.NDArray[np.int64],
    ],
    tuple[float, int],
]


@cache
def tile_counter() -> TileCounter | None:
    """Return the compiled ``_count``, None without numba or one that works with this NumPy.

    Compiled once a machine: numba keeps the code beside this file, else in the user's cache or
    NUMBA_CACHE_DIR, and where none of them can be written, in this process alone.
    """
    if find_spec("numba") is None:
        return None
    try:
        import numba
    except ImportError as error:  # such as one that is older than this NumPy
        warnings.warn(f"numba is not used, counting is slower: {error}", stacklevel=2)
        return None
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return None
    of_tile = ("float32[:, ::1]", "boolean", "float32", "float32")
    signatures = [
        f"Tuple((float64, int64))({', '.join(of_tile)}, {numbers}[::1], int64[::1])"
        for numbers in ("uint8", "uint32")
    ]
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "nsz"}}
    try:
        compiled: TileCounter = numba.njit(signatures, cache=True, **options)(_count)
    except (RuntimeError, OSError):  # no folder to keep the code in
        compiled = numba.njit(signatures, **options)(_count)
    return compiled


def _count(
    tile: npt.NDArray[np.float32],
    triangle: bool,
    shift: np.float32,
    high: np.float32,
    like: npt.NDArray[np.unsignedinteger],
    counts: npt.NDArray[np.int64],
) -> tuple[float, int]:
    """Add the bins of a tile to ``counts``; return Σ |value| and how many are above ``high``."""
    rows, columns = tile.shape
    stride = len(counts)
    # made here, so that the compiler knows that it is nothing else's memory
    numbers = np.empty(columns + 1, dtype=like.dtype)
    # four histograms in turn: a count of the same bin does not wait for the one before
    lanes = np.zeros(4 * stride, dtype=np.uint32)
    absolute, above = 0.0, 0
    for row in range(rows):
        line = tile[row]
        first = row + 1 if triangle else 0
        total, many = np.float32(0), np.int32(0)
        wide = columns - first
        for column in range(wide):  # in the processor's vectors
            value = line[first + column]
            size = abs(value)
            total += size
            many += np.int32(size > high)
            numbers[column] = np.int32(value + shift)
        absolute += float(total)
        above += int(many)
        last = wide // 4 * 4
        for column in range(0, last, 4):
            lanes[numbers[column]] += np.uint32(1)
            lanes[stride + numbers[column + 1]] += np.uint32(1)
            lanes[2 * stride + numbers[column + 2]] += np.uint32(1)
            lanes[3 * stride + numbers[column + 3]] += np.uint32(1)
        for column in range(last, wide):
            lanes[numbers[column]] += np.uint32(1)
    for number in range(4 * stride):
        counts[number % stride] += lanes[number]
    return absolute, above
