"""Lazy arrays over committed shards: each (layer, unit) block a memory map inside one dask task.

A task is a path and an offset. No HDF5 library and no lock is involved, and of float32 blocks rows
that are not asked for are not read.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import dask.array as da
import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, missing
from actlas.store.format.parts import WHOLE
from actlas.store.format.schema import BLOCK_DIMS, NUMPY_VIEW, SiteLayout, StoredSite
from actlas.store.io.durable import naming
from actlas.store.remote import cache
from actlas.store.remote.path import RemotePath

#: maps of shards in use, one a file however many of its blocks are alive: each map holds a file
#: descriptor
_MAPS: WeakValueDictionary[tuple[Path, int, int, int], mmap.mmap] = WeakValueDictionary()
# files mapped at a time, of the 256 that macOS lets a process open; of further ones blocks are read
MOST_MAPS = 128
READ_AHEAD = 1 << 20  # bytes of a block in a file of many units that are asked for at once


@dataclass(frozen=True)
class BlockSource:
    """Blocks of one site of one unit.

    It says the file, its committed size, where the site lies in it, and which blocks count.
    """

    path: Path
    size: int
    stored: StoredSite
    # layers or depths among those of ``stored``: a variant shares some of its baseline's
    numbers: tuple[int, ...]
    kept: str = WHOLE  # the tokens whose rows the file has
    #: which of these rows are read, all where None
    rows: npt.NDArray[np.int64] | None = field(default=None, compare=False)

    def checksum(self, number: int) -> str:
        """Return the XXH3-64 of the block of a layer or depth."""
        return self.stored.checksums[self.stored.layout.places[number]]


@dataclass(frozen=True)
class SiteBlocks:
    """One site of a whole run: for each unit, in order, the sources its blocks lie in.

    numbers: layers or depths, which all units have. ``check`` compares each block with its
    checksum when it is read.
    """

    units: Sequence[tuple[BlockSource, ...]]
    tokens: tuple[int, ...]  # that are read of each unit, one at least
    numbers: tuple[int, ...]
    check: bool

    @property
    def layout(self) -> SiteLayout:
        """Layout of a source of the first unit.

        The others differ in their tokens and blocks alone.
        """
        return self.units[0][-1].stored.layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape over the whole run."""
        shape = (sum(self.tokens), *self.layout.block_shape[1:])
        return (len(self.numbers), *shape) if self._blocked else shape

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.tokens)

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.layout.shape)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Views are float32 whatever is stored."""
        return np.dtype(np.float32)

    @property
    def _blocked(self) -> bool:
        return self.layout.dims[0] in BLOCK_DIMS

    def lazy(self, name: str) -> da.Array:
        """Return the dask array, one chunk per (layer, unit)."""
        chunks: list[tuple[int, ...]] = [
            self.tokens,
            *((size,) for size in self.layout.block_shape[1:]),
        ]
        if self._blocked:
            chunks.insert(0, (1,) * self.shape[0])
        # a getter that dask does not know keeps it from handing us any selection but whole chunks
        array: da.Array = da.from_array(
            self, chunks=tuple(chunks), name=name, getitem=_read, meta=np.empty((), np.float32)
        )
        return array

    def __getitem__(self, key: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        """Return one chunk of ``lazy``."""
        sources = self.units[
            int(np.searchsorted(self._ends, key[int(self._blocked)].start, side="right"))
        ]
        number = self.numbers[key[0].start if self._blocked else 0]
        rows = read_block(find_source(sources, number), number, self.check)
        return rows[np.newaxis] if self._blocked else rows


def _read(blocks: SiteBlocks, key: tuple[slice, ...], *_: Any) -> npt.NDArray[np.float32]:
    return blocks[key]


def read_block(source: BlockSource, number: int, check: bool = False) -> npt.NDArray[np.float32]:
    """Return one block, of the layer or depth ``number``, as float32, (token, …).

    It is mapped from the file where float32 is stored, and widened otherwise.

    Raises DamagedStore, naming the file, where it is missing, has another size or, with ``check``,
    was altered.
    """
    return widened(read_stored(source, number, check), source.stored.layout.dtype)


def widened(stored: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Return numbers as they are stored as float32; those of float32 are not copied."""
    if dtype == "bfloat16":
        # bfloat16 is the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


def read_stored(source: BlockSource, number: int, check: bool = False) -> npt.NDArray[Any]:
    """Return one block as it is stored, bfloat16 as uint16; raises as ``read_block`` does."""
    whole = _read_whole(source, number, check)
    return whole if source.rows is None else whole[source.rows]


def _read_whole(source: BlockSource, number: int, check: bool) -> npt.NDArray[Any]:
    block, layout = source.stored.layout.places[number], source.stored.layout
    if not layout.block_bytes:  # none of the unit's tokens is kept
        return np.empty(layout.block_shape, NUMPY_VIEW[layout.dtype])
    if isinstance(source.path, RemotePath):
        return _remote(source.path, source, number, block)
    stored = _map(source, block)
    if check and xxhash.xxh3_64_hexdigest(stored.data) != source.stored.checksums[block]:
        what = f"{_name(source, number)} was altered (checksum differs)"
        raise DamagedStore(f"{source.path}: {what}: see `actlas verify`")
    return stored


def _name(source: BlockSource, number: int) -> str:
    return f"{source.stored.layout.site}[{number}]"


def _remote(path: RemotePath, source: BlockSource, number: int, block: int) -> npt.NDArray[Any]:
    """Return one block of an object on the web, always checked: one request, or none."""
    layout = source.stored.layout
    content = cache.block(
        str(path),
        source.size,
        source.stored.place(block),
        layout.block_bytes,
        source.stored.checksums[block],
        _name(source, number),
    )
    return np.frombuffer(content, NUMPY_VIEW[layout.dtype]).reshape(layout.block_shape)


def find_source(sources: Sequence[BlockSource], number: int) -> BlockSource:
    """Return the source that the layer or depth ``number`` of a unit's site lies in."""
    for source in sources:
        if number in source.numbers:
            return source
    raise IndexError(f"none of {len(sources)} sources has {number}")


def _map(source: BlockSource, block: int) -> npt.NDArray[Any]:
    layout = source.stored.layout
    dtype, count = np.dtype(NUMPY_VIEW[layout.dtype]), math.prod(layout.block_shape)
    offset = source.stored.place(block)
    try:
        found = source.path.lstat()  # a link has the size of its text, never that of a shard
        if found.st_size != source.size:
            raise DamagedStore(
                f"{source.path} has {found.st_size} bytes, its commit says {source.size}: see "
                "`actlas verify`"
            )
        with naming(source.path):
            mapped = _mapped(source.path, found, bool(source.stored.stride))
            if mapped is None:
                return np.fromfile(source.path, dtype, count, offset=offset).reshape(
                    layout.block_shape
                )
    except FileNotFoundError as error:
        raise DamagedStore(missing(source.path)) from error
    if source.stored.stride and hasattr(mmap, "MADV_WILLNEED"):
        # madvise takes whole pages only
        start = offset - offset % mmap.PAGESIZE
        mapped.madvise(
            mmap.MADV_WILLNEED, start, min(offset + layout.block_bytes - start, READ_AHEAD)
        )
    return np.frombuffer(mapped, dtype, count, offset).reshape(layout.block_shape)


def _mapped(path: Path, found: os.stat_result, scattered: bool) -> mmap.mmap | None:
    """Return the map of the whole file, None where too many others are in use."""
    # a file that was replaced under its name has another key, and so another map
    key = (path, found.st_dev, found.st_ino, found.st_mtime_ns)
    mapped = _MAPS.get(key)
    if mapped is None and len(_MAPS) < MOST_MAPS:
        with path.open("rb") as file:
            mapped = _MAPS[key] = mmap.mmap(file.fileno(), found.st_size, access=mmap.ACCESS_READ)
        if scattered and hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)  # what the system reads ahead would be other units
    return mapped


def lazy_site(name: str, blocks: SiteBlocks) -> da.Array:
    """Return one site of a run as a dask array named ``name``: equal views are one."""
    return blocks.lazy(name)
