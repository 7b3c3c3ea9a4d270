"""Tables with a header: CSV and its relatives."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from actlas.pipeline.inputs.lines import (
    BadLine,
    Line,
    Value,
    Wanted,
    decode,
    kept_columns,
    no_text_column,
)
from actlas.store.errors import InputError, quoted

#: what may stand between the columns → how messages call it
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_table(raw: Iterable[bytes], wanted: Wanted, usual: str = ",") -> Iterator[Line | BadLine]:
    """Read a table with a header, separated by commas, semicolons, tabs or bars.

    usual: the separator that is not worth a note.
    """
    lines: list[str] = []
    bad: dict[int, BadLine] = {}
    for number, line in enumerate(raw, 1):
        text, problem = decode(number, line)
        lines.append(text)
        if problem:
            bad[number] = problem
    with fields_of_any_length():
        separator = separator_of(lines, wanted.text_column) or ","
        if separator != usual and separator in next(filter(str.strip, lines), ""):
            wanted.notes.append(f"columns are separated by {SEPARATORS[separator]}")
        rows = csv.reader(
            io.StringIO("\n".join(lines), newline=""), delimiter=separator, strict=True
        )
        yield from _rows(rows, wanted, bad)


@contextmanager
def fields_of_any_length() -> Iterator[None]:
    """Let the csv module read fields of more than 131,072 characters.

    Its limit is the process's.
    """
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def separator_of(lines: Sequence[str], column: str) -> str | None:
    """Return the separator by which the header, the first line, has a column among others.

    None where no separator is needed or none gives it. Raises InputError where two do: the file
    could mean either.
    """
    header = next((line for line in lines if line.strip()), "")
    found = []
    for separator in SEPARATORS:
        try:
            names = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            continue
        if column in names and len(names) > 1:
            found.append(separator)
    if len(found) > 1:
        either = " and ".join(SEPARATORS[separator] for separator in found)
        raise InputError(
            f"the header has {quoted(column)} between {either}: expected one separator, put a name "
            "that contains the other in double quotes"
        )
    return found[0] if found else None


def _rows(rows: Any, wanted: Wanted, bad: Mapping[int, BadLine]) -> Iterator[Line | BadLine]:
    """Yield the rows of a csv reader, its header first.

    ``bad``: lines that are not UTF-8, by number.
    """
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
            reason = (
                f"has {len(row)} field{'s' * (len(row) != 1)}, expected the header's {len(header)}"
            )
            yield BadLine(number, reason)
        elif row:
            values: dict[str, Value] = {name: row[place] or None for place, name in kept}
            yield Line(number, values.pop(wanted.text_column) or "", values)  # type: ignore[arg-type]
    if not header:
        _header(header, wanted)


def _header(header: Sequence[str], wanted: Wanted) -> list[tuple[int, str]]:
    """Return place and name of the columns to read.

    Raises InputError for a header without the text column.
    """
    if wanted.text_column not in header:
        raise no_text_column(header, wanted)
    return kept_columns(header, wanted)
