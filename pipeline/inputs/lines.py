"""Lines of a sentence file as a reader of its format gives them, and what all readers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actlas.store.errors import InputError, quoted

Scalar = str | int | float | bool
Value = Scalar | None


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
