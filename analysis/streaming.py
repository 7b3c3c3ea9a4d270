"""One pass over a run: a kernel sees each (layer, unit) block once and leaves a few numbers of it, in float64.

Two ways out: numbers of every token (``by_token``), or of a whole block, merged over the units (``by_place``). Kernels work
in tiles that fit in a processor's cache, so beside the block that is read there is next to no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

TILE = 1 << 15  # values a tile, 256 kB as float64
MERGED = 8  # units whose numbers are merged at a time

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
#: blocks (…, vector) → numbers of every vector (…, quantity)
TokenKernel = Callable[..., Floats]
#: indices of tokens along the run, blocks (token, vector) → numbers of the block (quantity,)
BlockKernel = Callable[..., Floats]
#: numbers of several blocks (block, quantity) → of all of them (quantity,)
Merge = Callable[[Floats], Floats]


def tiles(*blocks: npt.NDArray[Any]) -> Iterator[tuple[slice, list[Floats]]]:
    """Yield the same rows of each of ``blocks`` (row, vector) as float64, TILE values at a time, and which rows they are."""
    step = max(1, TILE // max(1, blocks[0].shape[-1]))
    for start in range(0, len(blocks[0]), step):
        rows = slice(start, start + step)
        yield rows, [block[rows].astype(np.float64) for block in blocks]


def by_token(kernel: TokenKernel, quantities: tuple[str, ...], *arrays: xr.DataArray) -> xr.Dataset:
    """Return ``quantities`` of every vector of ``arrays`` (layer or depth, token, …, vector), without the last dim, float64.

    kernel: tiles of each array (row, vector) → (quantity, row). Lazy stays lazy, a task for each block.
    """
    whole = [array.chunk({array.dims[-1]: -1}) if array.chunks else array for array in arrays]
    found = xr.apply_ufunc(
        _by_row,
        *whole,
        kwargs={"kernel": kernel, "size": len(quantities)},
        input_core_dims=[[array.dims[-1]] for array in whole],
        output_core_dims=[["quantity"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"quantity": len(quantities)}},
    )
    return xr.Dataset({name: found.isel(quantity=number) for number, name in enumerate(quantities)})


def _by_row(*blocks: npt.NDArray[Any], kernel: TokenKernel, size: int) -> Floats:
    rows = [block.reshape(-1, block.shape[-1]) for block in blocks]  # (layer · token · …, vector)
    found = np.empty((size, len(rows[0])))
    for part, tile in tiles(*rows):
        found[:, part] = kernel(*tile)
    return np.moveaxis(found, 0, -1).reshape(*blocks[0].shape[:-1], size)  # (layer, token, …, quantity)


def by_place(kernel: BlockKernel, merge: Merge, size: int, *arrays: xr.DataArray) -> xr.DataArray:
    """Return the ``size`` numbers that ``kernel`` finds in the blocks of a layer or depth, merged: (place, quantity) float64.

    arrays: (place, token, vector), alike in all but their values; always lazy. ``merge`` must give the same in any order, to
    rounding, because units are merged as they come, MERGED at a time.
    """
    place = arrays[0].dims[0]
    chunked = [array if array.chunks else array.chunk({place: 1}) for array in arrays]
    data = [array.data.rechunk({0: 1, 2: -1}) for array in chunked]
    tokens = da.arange(data[0].shape[1], chunks=(data[0].chunks[1],), dtype=np.int64)
    blocks = da.blockwise(
        _block,
        "ptq",
        tokens,
        "t",
        *(item for array in data for item in (array, "ptv")),
        kernel=kernel,
        new_axes={"q": size},
        adjust_chunks={"t": 1},
        concatenate=True,
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
    )
    together = partial(_merged, merge=merge)
    found = da.reduction(
        blocks,
        chunk=_same,
        combine=together,
        aggregate=together,
        axis=1,
        split_every=MERGED,
        dtype=np.float64,
        meta=blocks._meta,
    )
    return xr.DataArray(found, dims=(place, "quantity"))


def _block(tokens: Indices, *blocks: npt.NDArray[Any], kernel: BlockKernel) -> Floats:
    return kernel(tokens, *(block[0] for block in blocks))[np.newaxis, np.newaxis]  # (place, unit, quantity)


def _same(blocks: Floats, axis: object, keepdims: bool) -> Floats:
    return blocks


def _merged(blocks: Floats, axis: object, keepdims: bool, merge: Merge) -> Floats:
    """Merge (place of one, unit, quantity) over units."""
    found = merge(blocks[0])
    return found[np.newaxis, np.newaxis] if keepdims else found[np.newaxis]
