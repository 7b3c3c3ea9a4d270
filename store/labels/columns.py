"""Columns: the user's labels of sentences, as variables of an export or of a label record's file.

Numbers are a variable on ``sentence``. Texts are CF contiguous ragged characters, the bytes of all
sentences and how many each has, so that one long text takes its own room alone.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, InputError, quoted
from actlas.store.format.schema import BLOCK_DIMS, Json, canonical
from actlas.store.labels.labels import INSTANCE, OF_SENTENCE, TOKEN_LABELS
from actlas.store.labels.special import SPECIAL

if TYPE_CHECKING:
    from actlas.store.format.netcdf import Netcdf

Columns = Mapping[str, npt.NDArray[Any]]

MOST_COLUMNS = 2000  # so many take seconds: HDF5 lists the variables of a dim in one attribute
MOST_NAME = 200  # characters
SENTENCE = "sentence"  # the dim of all columns so far
TEXT = "text"  # the dtype of texts in a record
NUMBERS = ("<i8", "<f8", "|u1")
LENGTHS = "<i8"
BYTES_DIM, LENGTH = (
    "_bytes",
    "_length",
)  # end the dim of a text's bytes, and the variable with the bytes of each sentence
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
NUMBERED = re.compile(r"column_[0-9]+")
DIGEST = re.compile(r"[0-9a-f]{16}")
MOST_BYTES = 1 << 62

#: names that the labels of tokens and the dims of a view have
STRUCTURAL = frozenset({*TOKEN_LABELS, SPECIAL, "row_size", "text", "token", *BLOCK_DIMS})


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


@dataclass(frozen=True)
class Encoded:
    """A column as it is stored: numbers, or the bytes of all texts and the length of each."""

    values: npt.NDArray[Any]  # 1-D
    lengths: npt.NDArray[np.int64] | None

    @property
    def dtype(self) -> str:
        """Dtype as a record has it."""
        return self.values.dtype.str if self.lengths is None else TEXT

    @property
    def nbytes(self) -> int:
        """Bytes of the values; there may be none where all texts are empty."""
        return self.values.nbytes

    @property
    def parts(self) -> list[memoryview]:
        """The bytes that checksum and digest are of."""
        arrays = [self.values] if self.lengths is None else [self.lengths, self.values]
        return [array.view(np.uint8).data for array in arrays]


def bad_name(name: str) -> str | None:
    """Return why a column cannot have a name, None where it can."""
    if name in STRUCTURAL:
        return "actlas gives this name a meaning of its own"
    if not name or len(name) > MOST_NAME:
        return f"expected 1 to {MOST_NAME} characters, got {len(name)}"
    return None if name.isprintable() else "it has characters that cannot be printed"


def check_columns(columns: Columns) -> None:
    """Raise InputError, with the name or the limit, for columns that cannot be stored."""
    if len(columns) > MOST_COLUMNS:
        raise InputError(
            f"{len(columns):,} label columns: expected at most {MOST_COLUMNS:,}, remove some"
        )
    for name in columns:
        if problem := bad_name(name):
            raise InputError(f"label column {quoted(name)}: {problem}: rename it")


def encode(columns: Columns) -> dict[str, Encoded]:
    """Return the stored form of each column, by name; texts are NumPy's characters or objects."""
    return {name: _encoded(column) for name, column in sorted(columns.items())}


def _encoded(column: npt.NDArray[Any]) -> Encoded:
    if column.dtype.kind in "UO":
        texts = [str(text).encode() for text in column.tolist()]
        lengths = np.array([len(text) for text in texts], dtype=LENGTHS)
        return Encoded(np.frombuffer(b"".join(texts), dtype="S1"), lengths)
    kinds = {
        "b": "|u1",
        "f": "<f8",
        "i": "<i8",
        "u": "|u1" if column.dtype.itemsize == 1 else "<i8",
    }
    return Encoded(np.ascontiguousarray(column, dtype=kinds[column.dtype.kind]), None)


def columns_digest(encoded: Mapping[str, Encoded]) -> str:
    """Return 16 hex digits of the SHA-256 of names, dtypes and values, in any order."""
    listed = []
    for name, each in sorted(encoded.items()):
        digest = hashlib.sha256()
        for part in each.parts:
            digest.update(part)
        listed.append([name, each.dtype, digest.hexdigest()])
    return hashlib.sha256(canonical({"columns": listed})).hexdigest()[:16]


def variable_names(encoded: Mapping[str, Encoded], taken: Collection[str] = ()) -> dict[str, str]:
    """Return column → its variable.

    `sentence_<column>` where netCDF libraries take that and it is free.

    The name says that it is of sentences, and not of tokens. taken: names of the other variables
    and dims of the file.
    """
    return {
        name: OF_SENTENCE + (name if _is_free(name, taken) else f"column_{number}")
        for number, name in enumerate(sorted(encoded))
    }


def _is_free(name: str, taken: Collection[str]) -> bool:
    derived = name.endswith((BYTES_DIM, LENGTH)) or NUMBERED.fullmatch(name)
    return (
        bool(PLAIN.fullmatch(name))
        and not derived
        and OF_SENTENCE + name not in taken
        and name not in STRUCTURAL
    )


def column_sizes(encoded: Mapping[str, Encoded], names: Mapping[str, str]) -> dict[str, int]:
    """Return dims of texts and their sizes, 1 at least.

    HDF5 knows no place of an empty variable.
    """
    texts = {name: each for name, each in encoded.items() if each.lengths is not None}
    return {names[name] + BYTES_DIM: max(1, each.nbytes) for name, each in texts.items()}


def write_columns(netcdf: Netcdf, encoded: Mapping[str, Encoded], names: Mapping[str, str]) -> None:
    """Write the variables; the dims are made already. ``long_name`` is the column's own name."""
    for name, each in encoded.items():
        variable, described = names[name], {"long_name": name}
        if each.lengths is None:
            netcdf.variable(variable, (INSTANCE,), each.values.dtype, described, each.values)
            continue
        dim = variable + BYTES_DIM
        # no _Encoding: readers would make one text of all bytes, and lengths are bytes
        lengths = f"{variable}{LENGTH} has the bytes of each"
        how = {"comment": f"UTF-8, one sentence after the other; {lengths}"}
        values = each.values if each.nbytes else np.zeros(1, dtype="S1")
        netcdf.variable(variable, (dim,), values.dtype, described | how, values)
        counts = {"long_name": f"bytes of {name}", "sample_dimension": dim}
        netcdf.variable(variable + LENGTH, (INSTANCE,), each.lengths.dtype, counts, each.lengths)


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
        found[name] = StoredColumn(SENTENCE, each.dtype, variable, *place)
    return found


def all_variables(encoded: Mapping[str, Encoded], names: Mapping[str, str]) -> list[str]:
    """Return the names of all variables that ``write_columns`` makes."""
    texts = [names[name] + LENGTH for name, each in encoded.items() if each.lengths is not None]
    return [*names.values(), *texts]


def places_of_columns(columns: Mapping[str, StoredColumn]) -> dict[str, int]:
    """Return variable → file offset, as HDF5 must have it."""
    places = {column.variable: column.offset for column in columns.values()}
    return places | {
        column.variable + LENGTH: column.lengths
        for column in columns.values()
        if column.dtype == TEXT
    }


def read_columns(
    path: Path, file: io.BufferedReader, columns: Mapping[str, StoredColumn], count: int
) -> Columns:
    """Read columns of ``count`` sentences, each against its checksum; texts as objects.

    Raises DamagedStore, naming ``path`` and the column.
    """
    found = {}
    for name, column in columns.items():
        try:
            found[name] = _read(file, column, count)
        except ValueError as error:  # UnicodeDecodeError is one
            raise DamagedStore(
                f"{path}: label column {quoted(name)} was altered ({error}): see `actlas verify`"
            ) from error
    return found


def _read(file: io.BufferedReader, column: StoredColumn, count: int) -> npt.NDArray[Any]:
    digest = xxhash.xxh3_64()
    text = column.dtype == TEXT
    lengths = _array(file, column.lengths, LENGTHS, count) if text else np.empty(0, dtype=LENGTHS)
    digest.update(lengths.view(np.uint8).data)
    dtype = "|u1" if text else column.dtype
    values = _array(file, column.offset, dtype, column.nbytes // np.dtype(dtype).itemsize)
    digest.update(values.view(np.uint8).data)
    if digest.hexdigest() != column.checksum:
        raise ValueError("checksum differs")
    return _texts(values.tobytes(), lengths) if text else values


def _array(file: io.BufferedReader, offset: int, dtype: str, count: int) -> npt.NDArray[Any]:
    file.seek(offset)
    array = np.fromfile(file, dtype, count)
    if len(array) != count:
        raise ValueError("it is cut short")
    return array


def _texts(content: bytes, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    ends = [0, *np.cumsum(lengths).tolist()]
    if lengths.min(initial=0) < 0 or ends[-1] != len(content):
        raise ValueError("lengths do not add up")
    texts = np.empty(len(lengths), dtype=object)
    texts[:] = [content[start:end].decode() for start, end in pairwise(ends)]
    return texts


def stored_columns(records: Json, count: int, size: int) -> dict[str, StoredColumn]:
    """Return the columns of a record of ``count`` sentences, in a file of ``size`` bytes.

    Raises ValueError, KeyError, TypeError for what cannot be.
    """
    if len(records) > MOST_COLUMNS:
        raise ValueError(f"{len(records)} columns, expected at most {MOST_COLUMNS}")
    columns = {name: StoredColumn(**record) for name, record in records.items()}
    for name, column in columns.items():
        if problem := bad_name(name) or _wrong(column, count):
            raise ValueError(f"label column {quoted(name)}: {problem}")
    if len({column.variable for column in columns.values()}) < len(columns):
        raise ValueError("two columns in one variable")
    places = sorted(place for column in columns.values() for place in _spans(column, count))
    if any(start < 0 or end > size for start, end in places) or any(
        one[1] > other[0] for one, other in pairwise(places)
    ):
        raise ValueError("columns that overlap or lie outside their file")
    return columns


def _wrong(column: StoredColumn, count: int) -> str | None:
    numbers = (column.offset, column.nbytes, column.lengths)
    if not all(type(number) is int and 0 <= number < MOST_BYTES for number in numbers):
        return "a place that is none"
    if column.dim != SENTENCE or column.dtype not in (*NUMBERS, TEXT):
        return "unknown dim or dtype"
    if not PLAIN.fullmatch(str(column.variable)) or not DIGEST.fullmatch(str(column.checksum)):
        return "variable or checksum"
    if column.dtype != TEXT and column.nbytes != count * np.dtype(column.dtype).itemsize:
        return f"{column.nbytes} bytes for {count} sentences"
    return None


def _spans(column: StoredColumn, count: int) -> Iterator[tuple[int, int]]:
    yield column.offset, column.offset + column.nbytes
    if column.dtype == TEXT:
        yield column.lengths, column.lengths + count * np.dtype(LENGTHS).itemsize


def column_spans(columns: Mapping[str, StoredColumn], count: int) -> list[tuple[int, int]]:
    """Return start and end of all that the columns' checksums are of."""
    return [span for column in columns.values() for span in _spans(column, count)]
