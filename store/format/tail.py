"""The record behind the HDF5 part of a file.

A sealed JSON line, then its length and format in the last 27 bytes.

Readers of HDF5 do not look past their part. By its tail an export is read, and a shard whose commit
or packed record is lost gets it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

END = re.compile(rb"([0-9]{12}) (actlas-[a-z]{6})\n")
END_BYTES = 27


class Tail(NamedTuple):
    """A record as it stands in a file.

    Its format, its sealed bytes, and the bytes of the file before it.
    """

    kind: str
    sealed: bytes
    start: int


def tail_bytes(sealed: bytes, kind: str) -> bytes:
    """Return what stands behind the HDF5 part: the record, of format ``kind``, and its length."""
    # …{"checksum": …}000000001234 actlas-commit, so that a reader finds the record from the end
    return sealed + b"%012d %s\n" % (len(sealed), kind.encode())


def read_tail(read: Callable[[int, int], bytes], size: int, largest: int) -> Tail | None:
    """Return the tail of a file of ``size`` bytes.

    None if it has none, or one of more than ``largest`` bytes. read: (bytes, offset) → at most so
    many from there on, as ``os.pread``.
    """
    end = END.fullmatch(read(END_BYTES, max(0, size - END_BYTES)))
    if not end:
        return None
    length = int(end[1])
    start = size - END_BYTES - length
    if length > largest or start < 0:
        return None
    return Tail(end[2].decode(), read(length, start), start)
