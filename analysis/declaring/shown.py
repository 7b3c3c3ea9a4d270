"""What a study shows of its result: tables, captions of figures, and what it checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Cell = tuple[str, float | str]  # the text that is shown, and what it sorts by


@dataclass(frozen=True)
class Table:
    """A table with its caption."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
        """Return the table of any sequences."""
        return cls(caption, tuple(header), tuple(map(tuple, rows)))

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers alone."""
        columns = range(len(self.header))
        return tuple(all(not isinstance(row[at][1], str) for row in self.rows) for at in columns)


def cell(value: object, form: str = ".4g") -> Cell:
    """Return a number in ``form``, or text as it is; NaN is a dash and sorts below all numbers."""
    if isinstance(value, str):
        return value, value
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return "–", -math.inf
    return (f"{int(number)}" if form == "d" else f"{number:{form}}"), number


@dataclass(frozen=True)
class Caption:
    """The title of a figure, and what to look at in it."""

    title: str
    note: str


@dataclass(frozen=True)
class Check:
    """A claim that the result bears out or not, and why."""

    claim: str
    holds: bool
    why: str
