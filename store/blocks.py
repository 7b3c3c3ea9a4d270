"""Lazy arrays over committed shards: each (layer, unit) block a memory map inside one dask task.

A task is a path and an offset. No HDF5 library and no lock is involved, and of float32 blocks rows that are not asked for are
not read.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import dask.array as da
import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore
from actlas.store.schema import NUMPY_VIEW, SiteLayout, StoredSite

#: maps of shards in use, one a file however many of its blocks are alive: each map holds a file descriptor
_MAPS: WeakValueDictionary[tuple[Path, int, int, int], mmap.mmap] = WeakValueDictionary()
MOST_MAPS = 128  # files mapped at a time, of the 256 that macOS lets a process open; of further ones blocks are read


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
    """Return one block as float32, (token, …): mapped from the file where float32 is stored, widened otherwise.

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
    dtype, count = np.dtype(NUMPY_VIEW[layout.dtype]), math.prod(layout.block_shape)
    offset = piece.stored.offset + block * layout.block_bytes
    try:
        found = piece.path.lstat()  # a link has the size of its text, never that of a shard
        if found.st_size != piece.size:
            raise DamagedStore(f"{piece.path} has {found.st_size} bytes, its commit says {piece.size}: see `actlas verify`")
        mapped = _mapped(piece.path, found)
        if mapped is None:
            return np.fromfile(piece.path, dtype, count, offset=offset).reshape(layout.block_shape)
    except FileNotFoundError as error:
        raise DamagedStore(f"{piece.path} is missing: see `actlas verify`") from error
    return np.frombuffer(mapped, dtype, count, offset).reshape(layout.block_shape)


def _mapped(path: Path, found: os.stat_result) -> mmap.mmap | None:
    """Return the map of the whole file, None where too many others are in use."""
    key = (path, found.st_dev, found.st_ino, found.st_mtime_ns)
    mapped = _MAPS.get(key)
    if mapped is None and len(_MAPS) < MOST_MAPS:
        with path.open("rb") as file:
            mapped = _MAPS[key] = mmap.mmap(file.fileno(), found.st_size, access=mmap.ACCESS_READ)
    return mapped


def lazy_site(name: str, pieces: Sequence[Piece], check: bool) -> da.Array:
    """Return one site of a run as a dask array named ``name`` (deterministic, so equal views are one)."""
    return SiteBlocks(tuple(pieces), check).lazy(name)
