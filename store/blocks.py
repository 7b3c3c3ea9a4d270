"""Lazy arrays over committed shards: each (layer, unit) block a memory map inside one dask task.

A task is a path and an offset. No HDF5 library and no lock is involved, and rows that are not asked for are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore
from actlas.store.schema import NUMPY_VIEW, SiteLayout, StoredSite


@dataclass(frozen=True)
class Piece:
    """One site of one unit: the file, its committed size, and where the site lies in it."""

    path: Path
    size: int
    stored: StoredSite


@dataclass(frozen=True)
class SiteBlocks:
    """One site of a whole run, units in order; ``check`` compares each block with its checksum when it is read."""

    pieces: tuple[Piece, ...]
    check: bool

    @property
    def layout(self) -> SiteLayout:
        """Layout of the first unit; the others differ in their tokens alone."""
        return self.pieces[0].stored.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape over the whole run."""
        axis, shape = self._token_axis, list(self.layout.shape)
        shape[axis] = sum(piece.stored.layout.shape[axis] for piece in self.pieces)
        return tuple(shape)

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.layout.shape)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Views are float32 whatever is stored."""
        return np.dtype(np.float32)

    @property
    def _token_axis(self) -> int:
        return self.layout.dims.index("token")

    def lazy(self, name: str) -> da.Array:
        """Return the dask array, one chunk per (layer, unit)."""
        chunks: list[tuple[int, ...]] = [(size,) for size in self.layout.shape]
        if self._token_axis:
            chunks[0] = (1,) * self.layout.shape[0]
        chunks[self._token_axis] = tuple(piece.stored.layout.shape[self._token_axis] for piece in self.pieces)
        # a getter that dask does not know keeps it from handing us any selection but whole chunks
        array: da.Array = da.from_array(self, chunks=tuple(chunks), name=name, getitem=_read, meta=np.empty((), np.float32))
        return array

    def __getitem__(self, key: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        """Return one chunk of ``lazy``."""
        starts = np.cumsum([0, *(piece.stored.layout.shape[self._token_axis] for piece in self.pieces)])
        piece = self.pieces[int(np.searchsorted(starts, key[self._token_axis].start, side="right")) - 1]
        block = key[0].start if self._token_axis else 0
        rows = read_block(piece, block, self.check)
        return rows[np.newaxis] if self._token_axis else rows


def _read(blocks: SiteBlocks, key: tuple[slice, ...], *_: Any) -> npt.NDArray[np.float32]:
    return blocks[key]


def read_block(piece: Piece, block: int, check: bool = False) -> npt.NDArray[np.float32]:
    """Return one block as float32, (token, …): a memory map where float32 is stored, widened otherwise.

    Raises DamagedStore, naming the file, where it is missing, has another size or, with ``check``, was altered.
    """
    layout = piece.stored.layout
    stored = _map(piece, block)
    if check and xxhash.xxh3_64_hexdigest(stored.data) != piece.stored.checksums[block]:
        raise DamagedStore(f"{piece.path}: {layout.site}[{block}] was altered (checksum differs): see `actlas verify`")
    if layout.dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


def _map(piece: Piece, block: int) -> npt.NDArray[Any]:
    layout = piece.stored.layout
    try:
        found = piece.path.stat().st_size
        if found != piece.size:
            raise DamagedStore(f"{piece.path} has {found} bytes, its commit says {piece.size}: see `actlas verify`")
        offset = piece.stored.offset + block * layout.block_bytes
        mapped = np.memmap(piece.path, NUMPY_VIEW[layout.dtype], mode="r", offset=offset, shape=layout.block_shape)
    except FileNotFoundError as error:
        raise DamagedStore(f"{piece.path} is missing: see `actlas verify`") from error
    return np.asarray(mapped)


def lazy_site(name: str, pieces: Sequence[Piece], check: bool) -> da.Array:
    """Return one site of a run as a dask array named ``name`` (deterministic, so equal views are one)."""
    return SiteBlocks(tuple(pieces), check).lazy(name)
