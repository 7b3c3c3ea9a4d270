"""Columns: the user's own labels, as variables of an export or of a label record's file.

A column lies on ``sentence`` or on ``token``. Numbers are a variable there. Texts are CF contiguous
ragged characters, the bytes of all entries and how many each has, so that one long text takes its
own room alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actlas.store.errors import InputError, quoted
from actlas.store.format.schema import BLOCK_DIMS, canonical
from actlas.store.labels.generated import GENERATED, PROMPT_TOKENS
from actlas.store.labels.labels import INSTANCE, OF_SENTENCE, OF_TOKEN, TOKEN_LABELS
from actlas.store.labels.special import SPECIAL

if TYPE_CHECKING:
    from actlas.store.format.netcdf import Netcdf

Columns = Mapping[str, npt.NDArray[Any]]
Counts = Mapping[str, int]  # dim → its entries
NONE: Columns = MappingProxyType({})

MOST_COLUMNS = 2000  # so many take seconds: HDF5 lists the variables of a dim in one attribute
MOST_NAME = 200  # characters
SENTENCE, TOKEN = "sentence", "token"  # the dims of columns
#: dim → what it is called in a file, and what the names of its variables begin with
FILE_DIMS = {SENTENCE: (INSTANCE, OF_SENTENCE), TOKEN: (TOKEN, OF_TOKEN)}
TEXT = "text"  # the dtype of texts in a record
NUMBERS = ("<i8", "<f8", "|u1")
LENGTHS = "<i8"
# end the dim of a text's bytes, and the variable with the bytes of each entry
BYTES_DIM, LENGTH = ("_bytes", "_length")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
NUMBERED = re.compile(r"column_[0-9]+")

#: names that the labels of tokens and the dims of a view have
STRUCTURAL = frozenset(
    {*TOKEN_LABELS, SPECIAL, GENERATED, PROMPT_TOKENS, "row_size", "text", "token", *BLOCK_DIMS}
)


@dataclass(frozen=True)
class Encoded:
    """A column as it is stored: numbers, or the bytes of all texts and the length of each."""

    values: npt.NDArray[Any]  # 1-D
    lengths: npt.NDArray[np.int64] | None
    dim: str = SENTENCE

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


def check_columns(columns: Columns, token_columns: Columns = NONE) -> None:
    """Raise InputError, with the name or the limit, for columns that cannot be stored."""
    names = [*columns, *token_columns]
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{len(names):,} label columns: expected at most {MOST_COLUMNS:,}, remove some"
        )
    for name in names:
        if problem := bad_name(name):
            raise InputError(f"label column {quoted(name)}: {problem}: rename it")
    for name in token_columns:
        if name in columns:
            raise InputError(
                f"label column {quoted(name)} is of sentences and of tokens: rename one"
            )


def encode(columns: Columns, token_columns: Columns = NONE) -> dict[str, Encoded]:
    """Return the stored form of each column, by name; texts are NumPy's characters or objects."""
    found = {name: _encoded(column) for name, column in columns.items()}
    for name, column in token_columns.items():
        found[name] = replace(_encoded(column), dim=TOKEN)
    return dict(sorted(found.items()))


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
    """Return 16 hex digits of the SHA-256 of names, dtypes, values and dims, in any order."""
    listed = []
    for name, each in sorted(encoded.items()):
        digest = hashlib.sha256()
        for part in each.parts:
            digest.update(part)
        on = [] if each.dim == SENTENCE else [each.dim]
        listed.append([name, each.dtype, digest.hexdigest(), *on])
    return hashlib.sha256(canonical({"columns": listed})).hexdigest()[:16]


def variable_names(encoded: Mapping[str, Encoded], taken: Collection[str] = ()) -> dict[str, str]:
    """Return column → its variable.

    That is `sentence_<column>`, or `label_<column>` of tokens, where netCDF libraries take it and
    it is free. taken: names of the other variables and dims of the file.
    """
    found = {}
    for number, (name, each) in enumerate(sorted(encoded.items())):
        prefix = FILE_DIMS[each.dim][1]
        found[name] = prefix + (name if _is_free(name, prefix, taken) else f"column_{number}")
    return found


def _is_free(name: str, prefix: str, taken: Collection[str]) -> bool:
    derived = name.endswith((BYTES_DIM, LENGTH)) or NUMBERED.fullmatch(name)
    return (
        bool(PLAIN.fullmatch(name))
        and not derived
        and prefix + name not in taken
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
        on = FILE_DIMS[each.dim][0]
        if each.lengths is None:
            netcdf.variable(variable, (on,), each.values.dtype, described, each.values)
            continue
        dim = variable + BYTES_DIM
        # no _Encoding: readers would make one text of all bytes, and lengths are bytes
        lengths = f"{variable}{LENGTH} has the bytes of each"
        how = {"comment": f"UTF-8, one {each.dim} after the other; {lengths}"}
        values = each.values if each.nbytes else np.zeros(1, dtype="S1")
        netcdf.variable(variable, (dim,), values.dtype, described | how, values)
        counts = {"long_name": f"bytes of {name}", "sample_dimension": dim}
        netcdf.variable(variable + LENGTH, (on,), each.lengths.dtype, counts, each.lengths)
