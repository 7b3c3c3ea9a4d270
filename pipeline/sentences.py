"""Reading sentences: a line each in .txt, a text column in .csv and .jsonl, UTF-8; the first step of the data.

A line that cannot be used is an error naming it, or, with ``skip_bad``, left out and listed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.sites import SITES
from actlas.store.errors import InputError, UsageError
from actlas.store.labels import SENTENCE_IN_RUN, TOKEN_LABELS

Scalar = str | int | float | bool
INT64 = 2**63
INTEGER = r"-?(0|[1-9][0-9]{0,18})"  # longer ones are codes
FRACTION = r"([.][0-9]+)?([eE][+-]?[0-9]+)?"

#: names a column cannot have, because the store gives them a meaning
RESERVED = frozenset(
    {*TOKEN_LABELS, *SITES, *(dim for site in SITES.values() for dim in site.dims), "row_size", "text", SENTENCE_IN_RUN}
)
BYTES_DIM = "_bytes"  # ends the names of the dims that the store adds for texts


@dataclass(frozen=True)
class Line:
    """One sentence as read: the number of its line, its text, its other columns."""

    number: int
    text: str
    columns: Mapping[str, Scalar]


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class Sentences:
    """The sentences of one input, in order."""

    source: str  # file name, or "-" for standard input
    text: tuple[str, ...]
    line: tuple[int, ...]
    columns: Mapping[str, npt.NDArray[Any]]  # on ``sentence``: int64, float64, uint8 (booleans) or text
    skipped: tuple[BadLine, ...] = ()


def read_sentences(source: str, *, text_column: str = "text", skip_bad: bool = False) -> Sentences:
    """Read ``source``, a path ending in .txt, .csv or .jsonl, or ``-`` for plain lines on standard input.

    Raises UsageError for a missing file or an unknown ending, InputError for content that cannot be used.
    """
    reader = READERS.get(Path(source).suffix.lower()) if source != "-" else _plain
    if reader is None:
        ending = f"ends in {Path(source).suffix!r}" if Path(source).suffix else "has no ending"
        raise UsageError(f"sentence file {source} {ending}: wanted {', '.join(READERS)}, or - for stdin")
    good: list[Line] = []
    bad: list[BadLine] = []
    for item in reader(_raw_lines(source), text_column):
        problem = item if isinstance(item, BadLine) else _unusable(item)
        if problem is None and isinstance(item, Line):
            good.append(item)
        elif problem is not None and not skip_bad:
            raise InputError(f"{named(source)}, line {problem.number}: {problem.reason} (--skip-bad leaves such lines out)")
        elif problem is not None:
            bad.append(problem)
    if not good:
        raise InputError(f"{named(source)} holds no sentence: wanted one a line")
    columns: dict[str, Sequence[Scalar]] = {name: [line.columns[name] for line in good] for name in good[0].columns}
    if reader is _csv:
        columns = {name: _numbers(values) for name, values in columns.items()}
    arrays = {name: _column(source, name, values) for name, values in columns.items()}
    return Sentences(source, tuple(i.text for i in good), tuple(i.number for i in good), arrays, tuple(bad))


def named(source: str) -> str:
    """Return how errors call ``source``."""
    return "standard input" if source == "-" else source


def _raw_lines(source: str) -> Iterator[bytes]:
    """Yield the lines, one at a time, without their line feeds or a byte order mark."""
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
            for number, raw in enumerate(file):
                yield (raw if number else raw.removeprefix(b"\xef\xbb\xbf")).removesuffix(b"\n")
    except FileNotFoundError as error:
        raise UsageError(f"sentence file {source} does not exist: give a .txt, .csv or .jsonl file, or - for stdin") from error
    except OSError as error:
        raise UsageError(f"sentence file {source} cannot be read: {error.strerror}") from error


def _unusable(line: Line) -> BadLine | None:
    if not line.text.strip():
        return BadLine(line.number, "blank")
    texts = [line.text, *(value for value in line.columns.values() if isinstance(value, str))]
    if any("\0" in text for text in texts):
        return BadLine(line.number, "contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        return BadLine(line.number, "contains half a surrogate pair, which is no character")
    return None


def _decoded(lines: Iterable[bytes]) -> Iterator[tuple[int, str] | BadLine]:
    """Yield number and text of each line; one that is not UTF-8 as a BadLine."""
    for number, raw in enumerate(lines, 1):
        try:
            yield number, raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            yield BadLine(number, f"byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8")


def _plain(lines: Iterable[bytes], _: str) -> Iterator[Line | BadLine]:
    for item in _decoded(lines):
        if isinstance(item, tuple) and "\r" in item[1]:
            item = BadLine(item[0], "contains a carriage return: wanted line ends of Unix or Windows")
        yield item if isinstance(item, BadLine) else Line(item[0], item[1], {})


def _jsonl(lines: Iterable[bytes], text_column: str) -> Iterator[Line | BadLine]:
    names: set[str] | None = None
    for item in _decoded(lines):
        if isinstance(item, BadLine):
            yield item
            continue
        number, raw = item
        line = _json_line(number, raw, text_column)
        if isinstance(line, Line):
            names = set(line.columns) if names is None else names
            if set(line.columns) != names:
                line = BadLine(number, f"has columns {sorted(line.columns)}, the lines before have {sorted(names)}")
        yield line


def _json_line(number: int, raw: str, text_column: str) -> Line | BadLine:
    if not raw.strip():
        return BadLine(number, "blank")
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return BadLine(number, f"not JSON ({error})")
    if not isinstance(record, dict) or not isinstance(record.get(text_column), str):
        return BadLine(number, f"wanted an object with the text in {text_column!r} (--text-column names another)")
    text = record.pop(text_column)
    wrong = [name for name, value in record.items() if not isinstance(value, str | int | float | bool)]
    if wrong:
        return BadLine(number, f"column {wrong[0]!r} is neither text, number nor boolean")
    return Line(number, text, record)


def _csv(raw: Iterable[bytes], text_column: str) -> Iterator[Line | BadLine]:
    decoded = list(_decoded(raw))
    yield from (item for item in decoded if isinstance(item, BadLine))
    # an undecodable line becomes an empty one, which CSV readers pass over, so that the lines after it keep their numbers
    lines = ["" if isinstance(item, BadLine) else item[1] for item in decoded]
    rows = csv.DictReader(io.StringIO("\n".join(lines), newline=""), strict=True)
    try:
        header = list(rows.fieldnames or ())
        if text_column not in header:
            raise InputError(f"no column {text_column!r} in the CSV header {header}: see --text-column")
        if len(set(header)) < len(header):
            raise InputError(f"the CSV header {header} has a name twice: rename one")
        for row in rows:
            if None in row or None in row.values():
                yield BadLine(rows.line_num, f"has another number of fields than the header's {len(header)}")
                continue
            yield Line(rows.line_num, row.pop(text_column), row)
    except csv.Error as error:
        raise InputError(f"line {max(1, rows.line_num)}: not CSV ({error})") from error


READERS: Mapping[str, Callable[[Iterable[bytes], str], Iterator[Line | BadLine]]] = {
    ".txt": _plain,
    ".csv": _csv,
    ".jsonl": _jsonl,
}


def _column(source: str, name: str, values: Sequence[Scalar]) -> npt.NDArray[Any]:
    """Return one column as int64, float64, uint8 for booleans, or text where values differ in kind."""
    if name in RESERVED or name.endswith(BYTES_DIM) or not name.isidentifier():
        raise InputError(
            f"{source}: a column cannot be called {name!r} (a name of the store's own, or no plain word): rename it"
        )
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return np.array(values, dtype=np.uint8)
    exact = all(abs(value) < INT64 for value in values if isinstance(value, int))  # else text, which keeps every digit
    if kinds == {int} and exact:
        return np.array(values, dtype=np.int64)
    if kinds <= {int, float} and exact:
        return np.array(values, dtype=np.float64)
    return np.array([str(value) for value in values], dtype=np.str_)


def _numbers(values: Sequence[Scalar]) -> Sequence[Scalar]:
    """Return the values of a CSV column as numbers where all are written as such; "007" is a code, not a number."""
    texts = [str(value) for value in values]
    if all(re.fullmatch(INTEGER, text) for text in texts):
        return [int(text) for text in texts]
    if all(re.fullmatch(INTEGER + FRACTION, text) for text in texts):
        return [float(text) for text in texts]
    return values
