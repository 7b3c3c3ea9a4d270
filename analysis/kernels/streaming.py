"""One pass over a run: a kernel sees each (layer, unit) block once, and leaves a few numbers.

The numbers are float64.

Two ways out: numbers of every token (``by_token``), or of a whole block, merged over the units
(``by_place``). Kernels work in tiles that fit in a processor's cache, so beside the block that is
read there is next to no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.kernels.folding import folded

TILE = 1 << 16  # values a tile, 512 kB as float64
MERGED = 8  # units whose numbers are merged at a time

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.integer]
#: blocks (…, vector) → numbers of every vector (…, quantity)
TokenKernel = Callable[..., Floats]
#: indices of tokens along the run, blocks (token, vector) → numbers of the block (quantity,)
BlockKernel = Callable[..., Floats]
#: numbers of several blocks (block, quantity) → of all of them (quantity,)
Merge = Callable[[Floats], Floats]


def tiles(*blocks: npt.NDArray[Any]) -> Iterator[tuple[slice, list[Floats]]]:
    """Yield the same rows of each of ``blocks`` (row, vector) as float64, TILE values at a time.

    Before them comes the slice of the rows.

    The arrays are the caller's to write to, until the next are asked for.
    """
    width = blocks[0].shape[-1]
    step = min(len(blocks[0]), max(1, TILE // max(1, width)))
    memory = np.empty((len(blocks), step, width))
    for start in range(0, len(blocks[0]), step or 1):
        rows = slice(start, min(start + step, len(blocks[0])))
        for tile, block in zip(memory, blocks, strict=True):
            tile[: rows.stop - rows.start] = block[rows]
        yield rows, list(memory[:, : rows.stop - rows.start])


def by_token(
    kernel: TokenKernel, size: int, *arrays: xr.DataArray, tiled: bool = True
) -> xr.DataArray:
    """Return the ``size`` numbers of every vector of ``arrays`` (…, token, …, vector).

    (…, token, …, quantity) float64.

    kernel: tiles of each array (row, vector) → (quantity, row). tiled: float64, the kernel's to
    write to; without it, the rows of the whole block as they are. arrays: alike in all but their
    values; lazy stays lazy, a task for each block.
    """
    if all(array.chunks for array in arrays):
        data = _alike(arrays)
        # by blocks, not with core dims: those are put together, which copies every block
        found = da.map_blocks(
            _by_row,
            *data,
            kernel=kernel,
            size=size,
            tiled=tiled,
            chunks=(*data[0].chunks[:-1], (size,)),
            dtype=np.float64,
            meta=np.empty((0,) * data[0].ndim),
        )
    else:
        found = _by_row(*(array.values for array in arrays), kernel=kernel, size=size, tiled=tiled)
    labels = {
        name: label
        for name, label in arrays[0].coords.items()
        if arrays[0].dims[-1] not in label.dims
    }
    return xr.DataArray(found, labels, (*arrays[0].dims[:-1], "quantity"))


def _alike(arrays: Sequence[xr.DataArray]) -> list[da.Array]:
    """Return the arrays cut like the first, vectors whole."""
    first = arrays[0].data.rechunk({arrays[0].ndim - 1: -1})
    return [first, *(array.data.rechunk(first.chunks) for array in arrays[1:])]


def _by_row(*blocks: npt.NDArray[Any], kernel: TokenKernel, size: int, tiled: bool) -> Floats:
    rows = [block.reshape(-1, block.shape[-1]) for block in blocks]  # (layer · token · …, vector)
    found = np.empty((size, len(rows[0])))
    for part, tile in tiles(*rows) if tiled else [(slice(None), rows)]:
        found[:, part] = kernel(*tile)
    # (layer, token, …, quantity)
    return np.moveaxis(found, 0, -1).reshape(*blocks[0].shape[:-1], size)


def by_place(kernel: BlockKernel, merge: Merge, size: int, *arrays: xr.DataArray) -> xr.DataArray:
    """Return the ``size`` numbers that ``kernel`` finds in the blocks of a layer or depth.

    Merged over the units: (place, quantity) float64.

    arrays: (place, token, vector), alike in all but their values; always lazy. ``merge`` must give
    the same, to rounding, however blocks are put together: numbers are merged MERGED at a time.
    """
    return folded(partial(_Merging, kernel, merge), {"quantity": size}, *arrays)


class _Merging:
    """The numbers of the blocks so far, at most MERGED of them apart."""

    def __init__(self, kernel: BlockKernel, merge: Merge) -> None:
        self._kernel, self._merge = kernel, merge
        self._parts: list[Floats] = []

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        tokens = np.arange(first, first + len(blocks[0]), dtype=np.int64)
        self._parts.append(self._kernel(tokens, *blocks))
        if len(self._parts) == MERGED:
            self._parts = [self.result()]

    def result(self) -> Floats:
        return self._merge(np.array(self._parts))
