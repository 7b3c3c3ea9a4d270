"""Lines of a sentence file as a reader of its format gives them, and what all readers share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actlas.store.errors import InputError, quoted

Scalar = str | int | float | bool
Value = Scalar | None
SHOWN_NAMES = 20  # names of columns that an error lists


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
    # filled by a reader: what it decided or skipped on its own, and the columns that are there
    notes: list[str] = field(default_factory=list)
    found: set[str] = field(default_factory=set)


def decode(number: int, raw: bytes) -> tuple[str, BadLine | None]:
    """Return the text of a line, and what is wrong with it.

    Then a mark stands for each wrong byte.
    """
    raw = raw.removesuffix(b"\r")
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8"
        return raw.decode(errors="replace"), BadLine(number, reason)


def kept_columns(header: Sequence[str], wanted: Wanted) -> list[tuple[int, str]]:
    """Return place and name of the columns to read; raises InputError where a name stands twice."""
    unnamed = [place for place, name in enumerate(header, 1) if not name.strip()]
    for place in unnamed:
        note = "column {} of the header has no name, as pandas writes its index: it is skipped"
        wanted.notes.append(note.format(place))
    named = [(place, name) for place, name in enumerate(header) if name.strip()]
    wanted.found.update(name for _, name in named)
    kept = [(place, name) for place, name in named if name not in wanted.drop]
    names = [name for _, name in kept]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the header has {quoted(name)} twice: rename one, or --drop them")
    return kept


def no_text_column(header: Sequence[str], wanted: Wanted) -> InputError:
    """Return the error for columns without the one that has the sentences."""
    return InputError(
        f"no column {quoted(wanted.text_column)} in the header, which has {listed(header)}: "
        "--text-column names the one with the sentences"
    )


def listed(names: Iterable[str]) -> str:
    """Return names of columns for a message, the first SHOWN_NAMES of them."""
    every = list(names)
    more = ", …" if len(every) > SHOWN_NAMES else ""
    return ", ".join(map(quoted, every[:SHOWN_NAMES])) + more or "no column"


def object_line(number: int, record: Any, wanted: Wanted) -> Line | BadLine:
    """Return the line of one object: its text, and its other values, of which None is missing."""
    if not isinstance(record, dict) or wanted.text_column not in record:
        column = quoted(wanted.text_column)
        got = f"one with {listed(record)}" if isinstance(record, dict) else type(record).__name__
        return BadLine(
            number,
            f"expected an object with the text in {column}, got {got}: --text-column names "
            "another column",
        )
    if not isinstance(record[wanted.text_column], str):
        kind = type(record[wanted.text_column]).__name__
        found = "missing" if kind == "NoneType" else f"a {kind}"
        return BadLine(number, f"{quoted(wanted.text_column)} is {found}, expected text")
    wanted.found.update(record)
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
