"""Files of token labels: a table with a row for each span of characters.

    sentence,char_start,char_end,pos
    0,4,8,VERB

``sentence`` counts the texts of the run from 0 on, characters are Unicode characters of the text,
``char_end`` is the character after the last, as in the labels of a Dataset. Every further column is
a label; a blank field is none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.lines import Wanted, kept_columns, listed
from actlas.pipeline.inputs.sentences import column_name_problem
from actlas.pipeline.inputs.tables import fields_of_any_length, separator_of
from actlas.store.errors import InputError, UsageError, quoted
from actlas.store.io.safe_open import read_input, user_path

PLACE = ("sentence", "char_start", "char_end")
ENDINGS = (".csv", ".tsv")
MOST_BYTES = 4 << 30
CHUNK = 1 << 16  # rows that exist as Python's lists at a time
DIGITS = 18  # of a number that an int64 holds
NO_LABEL = -1

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """One label: its different values, as they are written, and which each span has."""

    values: tuple[str, ...]
    codes: Integers  # (span,), NO_LABEL where the field is blank


@dataclass(frozen=True)
class Spans:
    """The spans of a file, in its order: int64 arrays on ``span``."""

    source: str
    line: Integers  # of the file, from 1 on
    sentence: Integers
    start: Integers  # characters of the sentence's text
    end: Integers
    labels: Mapping[str, Coded]

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.line)

    def place(self, span: int) -> str:
        """Return how errors call a span: file and line."""
        return f"{self.source}, line {self.line[span]}"


def read_spans(given: str) -> Spans:
    """Read a file of spans.

    Raises UsageError for a file that is not there, InputError, naming file and line, for what
    cannot be used.
    """
    path = user_path(given)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"labels file {path}: expected one that ends in {', '.join(ENDINGS)}")
    try:
        content = read_input(path, MOST_BYTES, InputError)
    except FileNotFoundError as error:
        raise UsageError(
            f"labels file {path} does not exist: expected a table with the columns "
            f"{', '.join(PLACE)} and one for each label"
        ) from error
    except OSError as error:
        raise UsageError(f"labels file {path} cannot be read: {error.strerror}") from error
    try:
        return _read(str(path), content)
    except InputError as error:
        raise InputError(f"{path}{error}") from error


def _read(source: str, content: bytes) -> Spans:
    """Return the spans of ``content``; raises InputError, whose message follows the file's name."""
    text = _decoded(content)
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    try:
        separator = separator_of([header_line], PLACE[0]) or ","
    except InputError as error:
        raise InputError(f": {error}") from error
    with fields_of_any_length():
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            header = next((row for row in rows if row), [])
            return _spans(source, header, _chunks(rows, len(header)))
        except csv.Error as error:
            raise InputError(f", line {rows.line_num}: not CSV ({error})") from error


def _decoded(content: bytes) -> str:
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f", line {line}: not UTF-8 ({error.reason})") from error


def _chunks(rows: Any, width: int) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Yield line numbers and rows of a csv reader, CHUNK at a time.

    Raises InputError for a row of another length than the header.
    """
    numbers: list[int] = []
    found: list[list[str]] = []
    line = rows.line_num + 1  # of the next row, which may have several
    for row in rows:
        if row:
            if len(row) != width:
                raise InputError(
                    f", line {line}: has {len(row)} field{'s' * (len(row) != 1)}, expected the "
                    f"header's {width}"
                )
            numbers.append(line)
            found.append(row)
        line = rows.line_num + 1
        if len(found) == CHUNK:
            yield numbers, found
            numbers, found = [], []
    if found:
        yield numbers, found


def _spans(
    source: str, header: Sequence[str], chunks: Iterator[tuple[list[int], list[list[str]]]]
) -> Spans:
    places, names = _header(header)
    known: list[dict[str, int]] = [{"": NO_LABEL} for _ in names]
    lines: list[Integers] = []
    numbers: list[list[Integers]] = [[] for _ in PLACE]
    codes: list[list[Integers]] = [[] for _ in names]
    for line, rows in chunks:
        columns = list(zip(*rows, strict=True))
        lines.append(np.array(line, dtype=np.int64))
        for found, name, place in zip(numbers, PLACE, places, strict=True):
            found.append(_integers(columns[place], name, line))
        for found, values, place in zip(codes, known, names.values(), strict=True):
            for value in columns[place]:
                # the blank is known, so that codes count from 0 on
                values.setdefault(value, len(values) - 1)
            of_rows = [values[value] for value in columns[place]]
            found.append(np.array(of_rows, dtype=np.int64))
    numbered = _joined(lines)
    labels = {
        name: Coded(tuple(values)[1:], _joined(found))
        for name, values, found in zip(names, known, codes, strict=True)
    }
    for name, label in labels.items():
        _check_values(name, label, numbered)
    sentence, start, end = map(_joined, numbers)
    return Spans(source, numbered, sentence, start, end, labels)


def _check_values(name: str, label: Coded, line: Integers) -> None:
    """Raise InputError for a value with a NUL character, as in columns of sentences."""
    for code, value in enumerate(label.values):
        if "\0" in value:
            first = int(line[np.flatnonzero(label.codes == code)[0]])
            raise InputError(f", line {first}: {name} contains a NUL character")


def _joined(parts: Sequence[Integers]) -> Integers:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _header(header: Sequence[str]) -> tuple[list[int], dict[str, int]]:
    """Return where the columns of ``PLACE`` stand, and label → where it stands."""
    missing = [name for name in PLACE if name not in header]
    if missing:
        raise InputError(
            f": no column {quoted(missing[0])} in the header, which has {listed(header)}: expected "
            f"{', '.join(PLACE)} and a column for each label"
        )
    try:
        places = {name: place for place, name in kept_columns(header, Wanted())}
    except InputError as error:
        raise InputError(f": {error}") from error
    labels = {name: place for name, place in places.items() if name not in PLACE}
    for name in labels:
        if problem := column_name_problem(name):
            raise InputError(f": a label cannot be called {quoted(name)} ({problem}): rename it")
    return [places[name] for name in PLACE], labels


def _integers(fields: Sequence[str], name: str, lines: Sequence[int]) -> Integers:
    """Return a column of whole numbers from 0 on; raises InputError for another field."""
    every = "".join(fields)  # looked at as one: a field at a time takes as long as all the rest
    longest = max(map(len, fields), default=0)
    if not (every.isascii() and every.isdigit() and all(fields) and longest <= DIGITS):
        for line, field in zip(lines, fields, strict=True):
            if not (field.isascii() and field.isdigit() and len(field) <= DIGITS):
                raise InputError(
                    f", line {line}: {name} is {quoted(field)}, expected a whole number from 0 on"
                )
    return np.array(list(map(int, fields)), dtype=np.int64)
