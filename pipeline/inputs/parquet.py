"""Parquet files: columns of text, numbers and booleans, read a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actlas.pipeline.inputs.lines import (
    BadLine,
    Line,
    Wanted,
    kept_columns,
    no_text_column,
    object_line,
)
from actlas.store.errors import InputError, UsageError, quoted

BATCH = 1 << 14  # rows that are in memory as Arrow and as Python has them
PANDAS_INDEX = "__index_level_"  # begins the name that pandas gives its index


def read_parquet(path: Path, wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read the columns of a Parquet file through pyarrow; ``number`` counts rows.

    Raises InputError for a file that is none or not whole, and for columns of other types.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("reading Parquet needs pyarrow: pip install 'actlas[parquet]'") from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = _columns(file.schema_arrow, wanted)
            for batch in file.iter_batches(BATCH, columns=names):
                columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
                for values in zip(*(column.to_pylist() for column in columns), strict=True):
                    number += 1
                    yield object_line(number, dict(zip(names, values, strict=True)), wanted)
    except (pyarrow.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:100]
        raise InputError(
            f"not Parquet, or not all of it, behind row {number:,} ({said}): write it again"
        ) from error


def _columns(schema: Any, wanted: Wanted) -> list[str]:
    """Return the names of the columns to read; raises InputError for what cannot be read."""
    header = list(schema.names)
    if wanted.text_column not in header:
        raise no_text_column(header, wanted)
    index = [name for name in header if name.startswith(PANDAS_INDEX)]
    wanted.notes.extend(
        f"column {quoted(name)}, the index that pandas wrote, is skipped" for name in index
    )
    chosen = Wanted(wanted.text_column, (*wanted.drop, *index), wanted.notes, wanted.found)
    kept = kept_columns(header, chosen)
    for place, name in kept:
        found = schema.types[place]
        if not _is_read(found, text=name == wanted.text_column):
            expected = "text" if name == wanted.text_column else "text, numbers or booleans"
            remedy = "" if name == wanted.text_column else " (or --drop it)"
            kind = " ".join(str(found).split())[:60]
            raise InputError(f"column {quoted(name)} is of {kind}, expected {expected}{remedy}")
    return [name for _, name in kept]


def _is_read(kind: Any, *, text: bool) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):  # categories, as pandas writes them
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    numbers = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return not text and any(check(kind) for check in numbers)
