"""Formats of sentence files: each reader yields lines, or says of a line why it cannot be used.

Plain text, tables with a separator (CSV, TSV), JSON Lines, a JSON array, Parquet. A value that is
missing (a blank field, null, an absent key) is None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actlas.pipeline.inputs.lines import (
    BadLine,
    Line,
    Scalar,
    Wanted,
    decode,
    kept_columns,
)
from actlas.pipeline.inputs.tables import read_table
from actlas.store.errors import InputError, UsageError, quoted
from actlas.store.io.safe_open import read_input

MOST_BYTES = 4 << 30  # of a file that is read as a whole
PANDAS_INDEX = "__index_level_"  # begins the name that pandas gives its index in Parquet


def read_plain(lines: Iterable[bytes], wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read a sentence a line; blank lines are skipped."""
    for item in _without_blank(_decoded(lines), wanted):
        if isinstance(item, tuple) and "\r" in item[1]:
            yield BadLine(
                item[0], "contains a carriage return: expected line ends of Unix or Windows"
            )
        else:
            yield item if isinstance(item, BadLine) else Line(item[0], item[1], {})


def read_json_lines(lines: Iterable[bytes], wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read a JSON object a line; blank lines are skipped."""
    for item in _without_blank(_decoded(lines), wanted):
        yield item if isinstance(item, BadLine) else _json_line(*item, wanted)


def read_json(path: Path, wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read an array of JSON objects, or of texts; ``number`` counts items."""
    try:
        items = _parsed(read_input(path, MOST_BYTES, InputError))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(f"not JSON ({str(error)[:100]})") from error
    if not isinstance(items, list):
        raise InputError(
            'expected an array of objects, such as [{"text": "…"}]; pandas writes one with '
            'to_json(orient="records")'
        )
    for number, item in enumerate(items, 1):
        yield (
            Line(number, item, {}) if isinstance(item, str) else object_line(number, item, wanted)
        )


def read_parquet(path: Path, wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read the columns of a Parquet file through pyarrow; ``number`` counts rows."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("reading Parquet needs pyarrow: pip install 'actlas[parquet]'") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"not Parquet ({str(error)[:100]})") from error
    header = list(table.column_names)
    index = [name for name in header if name.startswith(PANDAS_INDEX)]
    wanted.notes.extend(
        f"column {quoted(name)}, the index that pandas wrote, is skipped" for name in index
    )
    kept = kept_columns(header, Wanted(wanted.text_column, (*wanted.drop, *index), wanted.notes))
    columns = {name: table.column(number).to_pylist() for number, name in kept}
    texts = columns.pop(wanted.text_column)
    for row, text in enumerate(texts):
        values = {name: column[row] for name, column in columns.items()}
        yield object_line(row + 1, {wanted.text_column: text, **values}, wanted)


Reader = Callable[[Iterable[bytes], Wanted], Iterator[Line | BadLine]]
WholeReader = Callable[[Path, Wanted], Iterator[Line | BadLine]]

#: by the ending of the file: those that take a file line by line, and those that take it as a whole
LINE_READERS: Mapping[str, Reader] = {
    ".txt": read_plain,
    ".csv": read_table,
    ".tsv": read_table,
    ".jsonl": read_json_lines,
}
WHOLE_READERS: Mapping[str, WholeReader] = {".json": read_json, ".parquet": read_parquet}
NUMBERED = {".json": "item", ".parquet": "row"}  # what ``number`` counts, where it is not lines


def _decoded(lines: Iterable[bytes]) -> Iterator[tuple[int, str] | BadLine]:
    """Yield number and text of each line; one that is not UTF-8 as a BadLine."""
    for number, raw in enumerate(lines, 1):
        text, problem = decode(number, raw)
        yield problem or (number, text)


def _without_blank(
    lines: Iterable[tuple[int, str] | BadLine], wanted: Wanted
) -> Iterator[tuple[int, str] | BadLine]:
    """Skip blank lines; those between others are reported, those at the end mean nothing."""
    between = waiting = 0
    for item in lines:
        if isinstance(item, tuple) and not item[1].strip():
            waiting += 1
            continue
        between, waiting = between + waiting, 0
        yield item
    if between:
        wanted.notes.append(
            f"{between:,} blank line{'' if between == 1 else 's'} between sentences skipped"
        )


def _json_line(number: int, raw: str, wanted: Wanted) -> Line | BadLine:
    try:
        record = _parsed(raw)
    except (ValueError, RecursionError) as error:
        return BadLine(number, f"not JSON ({str(error)[:100]})")
    return object_line(number, record, wanted)


def _parsed(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError for a key that stands twice.

    One of its values would be lost.
    """
    return json.loads(text, object_pairs_hook=_once_each)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"the key {quoted(twice)} stands twice")
    return record


def object_line(number: int, record: Any, wanted: Wanted) -> Line | BadLine:
    """Return the line of one object: its text, and its other values, of which None is missing."""
    if not isinstance(record, dict) or not isinstance(record.get(wanted.text_column), str):
        column = quoted(wanted.text_column)
        return BadLine(
            number, f"expected an object with the text in {column} (--text-column names another)"
        )
    values = {name: value for name, value in record.items() if name not in wanted.drop}
    text = values.pop(wanted.text_column, record[wanted.text_column])
    for name, value in values.items():
        if value is not None and not isinstance(value, Scalar):
            kind = type(value).__name__
            return BadLine(
                number,
                f"column {quoted(name)} is a {kind}, expected text, a number or a boolean (or "
                f"--drop it)",
            )
        if isinstance(value, float) and math.isinf(value):
            return BadLine(
                number, f"column {quoted(name)} is infinite, expected a number that a float64 holds"
            )
    return Line(number, text, values)
