"""Where label columns lie in a file, checked and read by offsets alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.schema import Json
from actlas.store.io.safe_open import Read
from actlas.store.labels.columns import (
    LENGTH,
    LENGTHS,
    MOST_COLUMNS,
    NUMBERS,
    PLAIN,
    SENTENCE,
    TEXT,
    TOKEN,
    Columns,
    Counts,
    Encoded,
    bad_name,
)

DIGEST = re.compile(r"[0-9a-f]{16}")


MOST_BYTES = 1 << 62


@dataclass(frozen=True)
class StoredColumn:
    """Where a column lies in its file: its bytes, and of texts the int64 length of each."""

    dim: str
    dtype: str  # NumPy's little-endian name, or TEXT
    variable: str  # its name in the file, which not every name can be
    offset: int
    nbytes: int
    checksum: str  # XXH3-64 of the lengths, if any, and the values
    lengths: int = 0  # file offset; 0 for numbers


def places_of_columns(columns: Mapping[str, StoredColumn]) -> dict[str, int]:
    """Return variable → file offset, as HDF5 must have it."""
    places = {column.variable: column.offset for column in columns.values()}
    return places | {
        column.variable + LENGTH: column.lengths
        for column in columns.values()
        if column.dtype == TEXT
    }


def of_dim(values: Columns, columns: Mapping[str, StoredColumn], dim: str) -> dict[str, Any]:
    """Return the columns that lie on ``dim``."""
    return {name: column for name, column in values.items() if columns[name].dim == dim}


def read_columns(
    path: Path, read: Read, columns: Mapping[str, StoredColumn], counts: Counts
) -> Columns:
    """Read columns of so many sentences and tokens, each against its checksum; texts as objects.

    Raises DamagedStore, naming ``path`` and the column.
    """
    found = {}
    for name, column in columns.items():
        try:
            found[name] = _read(read, column, counts[column.dim])
        except ValueError as error:  # UnicodeDecodeError is one
            raise DamagedStore(
                f"{path}: label column {quoted(name)} was altered ({error}): see `actlas verify`"
            ) from error
    return found


def _read(read: Read, column: StoredColumn, count: int) -> npt.NDArray[Any]:
    digest = xxhash.xxh3_64()
    text = column.dtype == TEXT
    lengths = _array(read, column.lengths, LENGTHS, count) if text else np.empty(0, dtype=LENGTHS)
    digest.update(lengths.view(np.uint8).data)
    dtype = "|u1" if text else column.dtype
    values = _array(read, column.offset, dtype, column.nbytes // np.dtype(dtype).itemsize)
    digest.update(values.view(np.uint8).data)
    if digest.hexdigest() != column.checksum:
        raise ValueError("checksum differs")
    return _texts(values.tobytes(), lengths) if text else values


def _array(read: Read, offset: int, dtype: str, count: int) -> npt.NDArray[Any]:
    nbytes = count * np.dtype(dtype).itemsize
    content = read(nbytes, offset)
    if len(content) != nbytes:
        raise ValueError("it is cut short")
    return np.frombuffer(content, dtype).copy()


def _texts(content: bytes, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    ends = [0, *np.cumsum(lengths).tolist()]
    if lengths.min(initial=0) < 0 or ends[-1] != len(content):
        raise ValueError("lengths do not add up")
    texts = np.empty(len(lengths), dtype=object)
    known: dict[bytes, str] = {}  # labels are few, and each text takes more room than a reference
    pieces = (content[start:end] for start, end in pairwise(ends))
    texts[:] = [known.get(piece) or known.setdefault(piece, piece.decode()) for piece in pieces]
    return texts


def stored_columns(records: Json, counts: Counts, size: int) -> dict[str, StoredColumn]:
    """Return the columns of a record of so many sentences and tokens, in a file of ``size`` bytes.

    Raises ValueError, KeyError, TypeError for what cannot be.
    """
    if len(records) > MOST_COLUMNS:
        raise ValueError(f"{len(records)} columns, expected at most {MOST_COLUMNS}")
    columns = {name: StoredColumn(**record) for name, record in records.items()}
    for name, column in columns.items():
        if problem := bad_name(name) or _wrong(column, counts):
            raise ValueError(f"label column {quoted(name)}: {problem}")
    if len({column.variable for column in columns.values()}) < len(columns):
        raise ValueError("two columns in one variable")
    places = sorted(place for column in columns.values() for place in _spans(column, counts))
    if any(start < 0 or end > size for start, end in places) or any(
        one[1] > other[0] for one, other in pairwise(places)
    ):
        raise ValueError("columns that overlap or lie outside their file")
    return columns


def _wrong(column: StoredColumn, counts: Counts) -> str | None:
    numbers = (column.offset, column.nbytes, column.lengths)
    if not all(type(number) is int and 0 <= number < MOST_BYTES for number in numbers):
        return "a place that is none"
    if column.dim not in (SENTENCE, TOKEN) or column.dtype not in (*NUMBERS, TEXT):
        return "unknown dim or dtype"
    if not PLAIN.fullmatch(str(column.variable)) or not DIGEST.fullmatch(str(column.checksum)):
        return "variable or checksum"
    count = counts[column.dim]
    if column.dtype != TEXT and column.nbytes != count * np.dtype(column.dtype).itemsize:
        return f"{column.nbytes} bytes for {count} of {column.dim}"
    return None


def _spans(column: StoredColumn, counts: Counts) -> Iterator[tuple[int, int]]:
    yield column.offset, column.offset + column.nbytes
    if column.dtype == TEXT:
        yield column.lengths, column.lengths + counts[column.dim] * np.dtype(LENGTHS).itemsize


def column_spans(columns: Mapping[str, StoredColumn], counts: Counts) -> list[tuple[int, int]]:
    """Return start and end of all that the columns' checksums are of."""
    return [span for column in columns.values() for span in _spans(column, counts)]


def located(
    encoded: Mapping[str, Encoded], names: Mapping[str, str], offsets: Mapping[str, int]
) -> dict[str, StoredColumn]:
    """Return where the columns lie, by the file offsets of their variables."""
    found = {}
    for name, each in encoded.items():
        variable, digest = names[name], xxhash.xxh3_64()
        for part in each.parts:
            digest.update(part)
        lengths = 0 if each.lengths is None else offsets[variable + LENGTH]
        place = (offsets[variable], each.nbytes, digest.hexdigest(), lengths)
        found[name] = StoredColumn(each.dim, each.dtype, variable, *place)
    return found
