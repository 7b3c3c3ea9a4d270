"""XXH3-64 of parts of an open file, as commits record them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

READ_BYTES = 1 << 22


def span_checksum(descriptor: int, *spans: tuple[int, int]) -> str:
    """Return the XXH3-64 in hex of the bytes from ``start`` to ``end`` of each span.

    One after the other.
    """
    digest = xxhash.xxh3_64()
    for start, end in spans:
        while start < end:
            chunk = os.pread(descriptor, min(READ_BYTES, end - start), start)
            if not chunk:
                break
            digest.update(chunk)
            start += len(chunk)
    return str(digest.hexdigest())


def rows_checksum(rows: npt.NDArray[Any]) -> str:
    """Return the XXH3-64 in hex of rows of a label as they are stored."""
    return str(xxhash.xxh3_64_hexdigest(np.ascontiguousarray(rows).view(np.uint8).data))


def metadata_checksum_of(descriptor: int, size: int, data_spans: Iterable[tuple[int, int]]) -> str:
    """Return the XXH3-64 of all bytes outside ``data_spans``: HDF5's records and gaps."""
    return span_checksum(descriptor, *_between(size, data_spans))


def metadata_checksum_in(content: bytes | bytearray, data_spans: Iterable[tuple[int, int]]) -> str:
    """Return what ``metadata_checksum_of`` returns, of a file in memory."""
    digest, view = xxhash.xxh3_64(), memoryview(content)
    for start, end in _between(len(content), data_spans):
        digest.update(view[start:end])
    return str(digest.hexdigest())


def _between(size: int, data_spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    # spans of data a…b, c…d of a file of n bytes leave 0…a, b…c, d…n
    places = sorted(data_spans)
    starts, ends = [0, *(end for _, end in places)], [*(start for start, _ in places), size]
    return list(zip(starts, ends, strict=True))
