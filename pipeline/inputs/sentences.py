"""Reading sentences: one a line in .txt, a text column in tables and JSON, UTF-8.

The first step of the data.

A line that cannot be used is an error naming it, or, with ``skip_bad``, skipped and listed. What
the formats are is in ``pipeline.formats``, which dtype a column gets in ``pipeline.columns``.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from actlas.pipeline.inputs.columns import array_of
from actlas.pipeline.inputs.formats import LINE_READERS, NUMBERED, WHOLE_READERS
from actlas.pipeline.inputs.lines import BadLine, Line, Wanted
from actlas.pipeline.models.sites import SITES
from actlas.store.errors import InputError, UsageError, quoted, unknown
from actlas.store.io.safe_open import user_path
from actlas.store.labels.columns import bad_name
from actlas.store.labels.generated import GENERATED, PROMPT_TOKENS
from actlas.store.labels.labels import SENTENCE_IN_RUN, TOKEN_LABELS
from actlas.store.labels.special import SPECIAL

__all__ = [
    "RESERVED",
    "BadLine",
    "Columns",
    "Sentences",
    "collected",
    "named",
    "place_in",
    "read_sentences",
]

ENDINGS = (*LINE_READERS, *WHOLE_READERS)
WRITTEN = (".csv", ".tsv")  # formats that have text alone: numbers are recognised
STDIN = "-"
GIVEN = "texts"  # source of sentences that were given in memory

#: names a column cannot have, because the store gives them a meaning
RESERVED = frozenset(
    {
        *TOKEN_LABELS,
        SPECIAL,
        GENERATED,
        PROMPT_TOKENS,
        *SITES,
        *(dim for site in SITES.values() for dim in site.dims),
        "row_size",
        "text",
        SENTENCE_IN_RUN,
    }
)


@dataclass(frozen=True)
class Sentences:
    """The sentences of one input, in order."""

    source: str  # file name, "-" for standard input, GIVEN for texts in memory
    text: tuple[str, ...]
    line: tuple[int, ...]
    # on ``sentence``: int64, float64, uint8 (booleans) or text
    columns: Mapping[str, npt.NDArray[Any]]
    skipped: tuple[BadLine, ...] = ()
    notes: tuple[str, ...] = ()  # what the reader skipped on its own, to be reported

    def place(self, number: int) -> str:
        """Return how errors call a line."""
        return place_in(self.source, number)


@dataclass(frozen=True)
class Columns:
    """What is done with the columns of a table, by their names in the file."""

    text: str = "text"  # the column with the sentence
    rename: tuple[str, ...] = ()  # each OLD=NEW
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for a renaming that is none, and for dropping or renaming the text."""
        for each in self.rename:
            old, equals, new = each.partition("=")
            if not (old and equals and new):
                raise UsageError(f"--rename {quoted(each)}: expected OLD=NEW")
            if old in self.drop:
                raise UsageError(f"column {quoted(old)} is renamed and dropped: give one of both")
        if len(self.renamed) < len(self.rename):
            raise UsageError("--rename has a column twice: give each one new name")
        if self.text in self.drop or self.text in self.renamed:
            raise UsageError(
                f"column {quoted(self.text)} has the sentences: it is neither dropped nor renamed"
            )

    @property
    def renamed(self) -> dict[str, str]:
        """Old name → new name."""
        return dict(each.split("=", 1) for each in self.rename)


def read_sentences(
    source: str,
    *,
    text_column: str = "text",
    skip_bad: bool = False,
    rename: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Sentences:
    """Read ``source``, a file by its ending (``ENDINGS``), or ``-``: plain lines on standard input.

    rename: columns under another name, each "OLD=NEW". drop: columns to skip. Raises UsageError for
    a missing file, an unknown ending or column, InputError for content that cannot be used; both
    name the file, and the line where there is one.
    """
    source = source if source == STDIN else str(user_path(source))
    chosen = Columns(text_column, tuple(rename), tuple(drop))
    wanted = Wanted(text_column, chosen.drop)
    return collected(source, _lines(source, wanted), chosen, wanted, skip_bad=skip_bad)


def collected(
    source: str,
    lines: Iterable[Line | BadLine],
    chosen: Columns,
    wanted: Wanted,
    *,
    skip_bad: bool = False,
) -> Sentences:
    """Return the sentences of ``lines``; raises as ``read_sentences`` does.

    wanted: filled by the reader while it yields.
    """
    good: list[Line] = []
    bad: list[BadLine] = []
    for item in lines:
        problem = item if isinstance(item, BadLine) else _unusable(item)
        if problem is None and isinstance(item, Line):
            good.append(item)
        elif problem is not None and not skip_bad:
            place = place_in(source, problem.number)
            raise InputError(f"{place}: {problem.reason} (--skip-bad skips such lines)")
        elif problem is not None:
            bad.append(problem)
    if not good:
        raise InputError(
            f"{named(source)} holds no sentence: expected one a line, a row or an object"
        )
    _check_chosen(source, chosen, wanted.found)
    columns = _columns(source, good, chosen)
    texts, numbers = tuple(line.text for line in good), tuple(line.number for line in good)
    return Sentences(source, texts, numbers, columns, tuple(bad), tuple(wanted.notes))


def named(source: str) -> str:
    """Return how errors call ``source``."""
    return "standard input" if source == STDIN else source


def place_in(source: str, number: int) -> str:
    """Return how errors call a line, an item of a JSON array, or a row of a Parquet file."""
    counted = "item" if source == GIVEN else NUMBERED.get(_ending(source), "line")
    return f"{named(source)}, {counted} {number}"


def _ending(source: str) -> str:
    return ".txt" if source == STDIN else Path(source).suffix.lower()


def _lines(source: str, wanted: Wanted) -> Iterator[Line | BadLine]:
    """Yield the lines of ``source``; raises what ``read_sentences`` does, naming it."""
    ending = _ending(source)
    if ending not in ENDINGS:
        found = f"ends in {quoted(ending)}" if ending else "has no ending"
        raise UsageError(
            f"sentence file {source} {found}: expected {', '.join(ENDINGS)}, or - for stdin"
        )
    try:
        if ending in LINE_READERS:
            yield from LINE_READERS[ending](_raw_lines(source), wanted)
        else:
            _check_regular(Path(source))
            yield from WHOLE_READERS[ending](Path(source), wanted)
    except FileNotFoundError as error:
        expected = f"give a file that ends in {', '.join(ENDINGS)}, or - for stdin"
        raise UsageError(f"sentence file {source} does not exist: {expected}") from error
    except OSError as error:
        raise UsageError(
            f"sentence file {source} cannot be read: {error.strerror or error}"
        ) from error
    except InputError as error:
        raise InputError(f"{named(source)}: {error}") from error


def _raw_lines(source: str) -> Iterator[bytes]:
    """Yield the lines, one at a time, without their line feeds or a byte order mark."""
    if source == STDIN:
        yield from _cleaned(sys.stdin.buffer)
        return
    _check_regular(Path(source))
    with Path(source).open("rb") as file:
        yield from _cleaned(file)


def _cleaned(file: Iterator[bytes]) -> Iterator[bytes]:
    for number, raw in enumerate(file):
        yield (raw if number else raw.removeprefix(b"\xef\xbb\xbf")).removesuffix(b"\n")


def _check_regular(path: Path) -> None:
    """Raise UsageError for a pipe or device, which would make us wait, and for a folder."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise UsageError(
            f"sentence file {path} cannot be read: it is {kind} (a pipe is read from standard "
            f"input, as -)"
        )


def _unusable(line: Line) -> BadLine | None:
    if not line.text.strip():
        return BadLine(line.number, "blank")
    texts = [line.text, *(value for value in line.columns.values() if isinstance(value, str))]
    if any("\0" in text for text in texts):
        return BadLine(line.number, "contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        return BadLine(line.number, "contains half a surrogate pair, which is not a character")
    return None


def _check_chosen(source: str, chosen: Columns, found: Set[str]) -> None:
    """Raise UsageError for a column to rename or drop that is not there."""
    for option, names in (("--rename", chosen.renamed), ("--drop", chosen.drop)):
        for name in names:
            if name not in found:
                others = found - {chosen.text}
                raise UsageError(f"{named(source)}: {option}: {unknown('column', name, others)}")


def _columns(source: str, lines: Sequence[Line], chosen: Columns) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of all lines under their names.

    A key that a line lacks is missing there.
    """
    names = list(dict.fromkeys(name for line in lines for name in line.columns))
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        new = chosen.renamed.get(name, name)
        _check_name(source, new, name)
        if new in arrays:
            raise InputError(f"{named(source)}: two columns are called {quoted(new)}: rename one")
        values = [line.columns.get(name) for line in lines]
        arrays[new] = array_of(values, written=_ending(source) in WRITTEN)
    return arrays


def column_name_problem(name: str) -> str | None:
    """Return why a column of labels cannot have a name, None where it can."""
    return "actlas gives this name a meaning of its own" if name in RESERVED else bad_name(name)


def _check_name(source: str, name: str, old: str) -> None:
    if problem := column_name_problem(name):
        remedy = f"--rename {quoted(f'{old}=NEW')[1:-1]} gives another, --drop skips the column"
        raise InputError(
            f"{named(source)}: a column cannot be called {quoted(name)} ({problem}): {remedy}"
        )
