"""Formats of sentence files: each reader yields lines, or says of a line why it cannot be used.

Plain text, tables with a separator (CSV, TSV), JSON Lines, a JSON array, Parquet. A value that is
missing (a blank field, null, an absent key) is None.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actlas.store.errors import InputError, UsageError, quoted
from actlas.store.io.safe_open import read_input

Scalar = str | int | float | bool
Value = Scalar | None
MOST_BYTES = 4 << 30  # of a file that is read as a whole
SEPARATORS = (",", ";", "\t", "|")  # the first whose header has the text column is the file's
SHOWN_NAMES = 20  # names of a header that an error lists
PANDAS_INDEX = "__index_level_"  # begins the name that pandas gives its index in Parquet


@dataclass(frozen=True)
class Line:
    """One sentence as read: the number of its line, its text, its other columns."""

    number: int
    text: str
    columns: Mapping[str, Value]


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is read of a table: the column with the text, and the columns to skip."""

    text_column: str = "text"
    drop: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)  # filled by a reader: what it skipped on its own


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


def read_table(raw: Iterable[bytes], wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read a table with a header, separated by commas, semicolons, tabs or bars."""
    lines: list[str] = []
    bad: dict[int, BadLine] = {}
    for number, line in enumerate(raw, 1):
        text, problem = _decode(number, line)
        lines.append(text)
        if problem:
            bad[number] = problem
    with _fields_of_any_length():
        separator = _separator(lines, wanted.text_column)
        rows = csv.reader(
            io.StringIO("\n".join(lines), newline=""), delimiter=separator, strict=True
        )
        yield from _rows(rows, wanted, bad)


def read_json(path: Path, wanted: Wanted) -> Iterator[Line | BadLine]:
    """Read an array of JSON objects, or of texts; ``number`` counts items."""
    try:
        items = _parsed(read_input(path, MOST_BYTES, InputError))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(f"not JSON ({str(error)[:100]})") from error
    if not isinstance(items, list):
        raise InputError(
            'expected an array of objects, such as [{"text": "…"}]; pandas writes one with to_json(orient="records")'
        )
    for number, item in enumerate(items, 1):
        yield (
            Line(number, item, {}) if isinstance(item, str) else _object_line(number, item, wanted)
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
    kept = _kept_columns(header, Wanted(wanted.text_column, (*wanted.drop, *index), wanted.notes))
    columns = {name: table.column(number).to_pylist() for number, name in kept}
    texts = columns.pop(wanted.text_column)
    for row, text in enumerate(texts):
        values = {name: column[row] for name, column in columns.items()}
        yield _object_line(row + 1, {wanted.text_column: text, **values}, wanted)


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
        text, problem = _decode(number, raw)
        yield problem or (number, text)


def _decode(number: int, raw: bytes) -> tuple[str, BadLine | None]:
    """Return the text of a line, and what is wrong with it: then a mark stands for each wrong byte."""
    raw = raw.removesuffix(b"\r")
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8"
        return raw.decode(errors="replace"), BadLine(number, reason)


def _without_blank(
    lines: Iterable[tuple[int, str] | BadLine], wanted: Wanted
) -> Iterator[tuple[int, str] | BadLine]:
    """Skip blank lines; those between others are told, those at the end mean nothing."""
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
    return _object_line(number, record, wanted)


def _parsed(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError for a key that stands twice, of which one value would be lost."""
    return json.loads(text, object_pairs_hook=_once_each)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"the key {quoted(twice)} stands twice")
    return record


def _object_line(number: int, record: Any, wanted: Wanted) -> Line | BadLine:
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
                f"column {quoted(name)} is a {kind}, expected text, a number or a boolean (or --drop it)",
            )
        if isinstance(value, float) and math.isinf(value):
            return BadLine(
                number, f"column {quoted(name)} is infinite, expected a number that a float64 holds"
            )
    return Line(number, text, values)


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Let the csv module read fields of more than 131,072 characters; its limit is the process's."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _separator(lines: Sequence[str], text_column: str) -> str:
    """Return the first separator by which the header has the text column; a comma where none does."""
    header = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        try:
            if text_column in next(csv.reader([header], delimiter=separator)):
                return separator
        except csv.Error:
            continue
    return ","


def _rows(rows: Any, wanted: Wanted, bad: Mapping[int, BadLine]) -> Iterator[Line | BadLine]:
    """Yield the rows of a csv reader, its header first; ``bad``: lines that are not UTF-8, by number."""
    first = 1  # line of the next row, which may have several
    header: list[str] = []
    kept: list[tuple[int, str]] = []
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise InputError(f"line {first}: not CSV ({error})") from error
        if row is None:
            break
        number, first = first, rows.line_num + 1
        problem = next((bad[line] for line in range(number, first) if line in bad), None)
        if problem is not None and header:
            yield problem
        elif row and not header:
            header = row
            kept = _header(header, wanted)
        elif row and len(row) != len(header):
            told = (
                f"has {len(row)} field{'s' * (len(row) != 1)}, expected the header's {len(header)}"
            )
            yield BadLine(number, told)
        elif row:
            values: dict[str, Value] = {name: row[place] or None for place, name in kept}
            yield Line(number, values.pop(wanted.text_column) or "", values)  # type: ignore[arg-type]
    if not header:
        _header(header, wanted)


def _header(header: Sequence[str], wanted: Wanted) -> list[tuple[int, str]]:
    """Return place and name of the columns to read; raises InputError for a header without the text column."""
    if wanted.text_column not in header:
        shown = ", ".join(map(quoted, header[:SHOWN_NAMES])) or "no column"
        raise InputError(
            f"no column {quoted(wanted.text_column)} in the header, which has {shown}: see --text-column"
        )
    return _kept_columns(header, wanted)


def _kept_columns(header: Sequence[str], wanted: Wanted) -> list[tuple[int, str]]:
    """Return place and name of the columns to read; raises InputError where a name stands twice."""
    unnamed = [place for place, name in enumerate(header, 1) if not name.strip()]
    for place in unnamed:
        note = "column {} of the header has no name, as pandas writes its index: it is skipped"
        wanted.notes.append(note.format(place))
    kept = [
        (place, name)
        for place, name in enumerate(header)
        if name.strip() and name not in wanted.drop
    ]
    names = [name for _, name in kept]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the header has {quoted(name)} twice: rename one, or --drop them")
    return kept
