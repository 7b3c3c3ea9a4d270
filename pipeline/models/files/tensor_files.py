"""Safetensors files as bytes.

A header that is checked against the file, and the tensors it points to. Needs no torch.

A file is 8 bytes with the length of the header, the header, then the tensors one after the other. A
header::

    {"wpe.weight": {"dtype": "F32", "shape": [1024, 768], "data_offsets": [0, 3145728]}, …}
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import xxhash

from actlas.store.errors import UsageError, quoted

LARGEST_HEADER = 16 << 20  # bytes; GPT-2 XL needs 60 kB
MOST_DIMS = 8
READ_BYTES = 1 << 22
ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class Entry:
    """A tensor of a file: what it is, and where its bytes lie, from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.end - self.start

    def hasher(self) -> xxhash.xxh3_128:
        """Return the XXH3-128 of a tensor, fed with dtype and shape; the bytes are to follow."""
        return xxhash.xxh3_128(json.dumps([self.dtype, list(self.shape)]).encode())


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file that is open: its descriptor, status, and name → entry of each tensor."""

    path: Path
    file: BinaryIO
    status: os.stat_result
    header: bytes
    entries: Mapping[str, Entry]

    def digest(self, name: str) -> str:
        """Return the digest of a tensor, read in full.

        Raises UsageError where the file has become shorter.
        """
        entry = self.entries[name]
        digest = entry.hasher()
        for start in range(entry.start, entry.end, READ_BYTES):
            wanted = min(READ_BYTES, entry.end - start)
            chunk = os.pread(self.file.fileno(), wanted, start)
            if len(chunk) != wanted:
                raise cut_short(self.path, name)
            digest.update(chunk)
        return str(digest.hexdigest())


@contextmanager
def opened_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a safetensors file and read its header.

    Raises UsageError for what is not one: a pipe or device, a header that cannot be read or is too
    long, tensors that overlap, leave gaps or lie outside the file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a regular file: expected a safetensors file")
        length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
        if not 0 < length <= min(LARGEST_HEADER, status.st_size - 8):
            raise _unreadable(path)
        header = os.pread(descriptor, length, 8)
        yield TensorFile(path, file, status, header, _entries(path, header, status.st_size))


def cut_short(path: Path, name: str) -> UsageError:
    """Return the error for a tensor whose bytes are not all there."""
    return UsageError(
        f"{path}: tensor {quoted(name)} lies outside the file: it is cut short, copy or save it "
        f"again"
    )


def _entries(path: Path, header: bytes, size: int) -> dict[str, Entry]:
    begin = 8 + len(header)
    try:
        tensors = json.loads(header, object_pairs_hook=_unique, parse_constant=_refuse)
        if not isinstance(tensors, dict):
            raise TypeError(tensors)
        tensors.pop("__metadata__", None)
        entries = {name: _entry(tensor, begin) for name, tensor in tensors.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unreadable(path) from error
    _check_places(path, entries, begin, size)
    return entries


def _entry(tensor: Mapping[str, object], begin: int) -> Entry:
    """Return a tensor's entry; raises ValueError, TypeError or KeyError for one that is none."""
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(shape) <= MOST_DIMS):
        raise TypeError(tensor)
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in (*shape, *offsets)):
        raise ValueError(tensor)
    start, end = offsets
    dtype = str(tensor["dtype"])
    if end - start != math.prod(shape) * ITEM_BYTES[dtype]:
        raise ValueError(tensor)
    return Entry(dtype, tuple(shape), begin + start, begin + end)


def _check_places(path: Path, entries: Mapping[str, Entry], begin: int, size: int) -> None:
    """Raise UsageError unless the tensors fill the file, one after the other.

    As the format demands.
    """
    last = begin
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.end > size:
            raise cut_short(path, name)
        if entry.start != last:
            what = "overlaps another" if entry.start < last else "has a gap in front of it"
            raise UsageError(f"{path}: tensor {quoted(name)} {what}: copy or save the file again")
        last = entry.end
    if last != size:
        advice = "copy or save it again"
        raise UsageError(f"{path}: its last {size - last:,} bytes belong to no tensor: {advice}")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _unreadable(path: Path) -> UsageError:
    return UsageError(
        f"{path} is not a safetensors file (no readable header): copy or save it again"
    )
