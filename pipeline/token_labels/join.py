"""The join of spans of characters with tokens: a token takes the label that covers most of it.

Texts stand behind one another on one axis of characters, a gap between each two, so that all of a
run is joined at once by binary search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.columns import array_of
from actlas.pipeline.inputs.windows import TEXT_INDEX, WINDOW_CHAR, window_column
from actlas.pipeline.token_labels.spans import NO_LABEL, Coded, Integers, Spans
from actlas.store.errors import InputError, quoted
from actlas.store.labels.labels import Labels


@dataclass(frozen=True)
class TokenLabels:
    """Labels on ``token``, and how many spans cover none of it."""

    columns: dict[str, npt.NDArray[Any]]  # int64, float64, uint8 or text, (token,)
    spans: int
    unmatched: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be reported."""
        if not self.unmatched:
            return ()
        return (f"{self.unmatched:,} of {self.spans:,} spans of labels cover no token",)


@dataclass(frozen=True)
class _Stretches:
    """Stretches of the axis of characters, each with what it is of: int64 arrays, ascending."""

    start: Integers
    end: Integers
    code: Integers


def token_labels(labels: Labels, spans: Spans, *, windowed: bool = False) -> TokenLabels:
    """Return the labels that ``spans`` give to tokens.

    labels: of all tokens of a run. windowed: its sentences are windows, whose columns say which
    part of which text each is; spans are of the texts.
    A token takes the label of the span with which it shares most characters, of the first in the
    text among equals; a special token, and one that shares none, has none: NaN among numbers, the
    empty text among texts, as in columns of sentences. Spans of
    equal labels may overlap, and count as one then. Raises InputError, with file and line, for a
    span outside its text and for overlapping spans with different labels.
    """
    text, offset, length = _texts(labels, windowed)
    _check_places(spans, length)
    # a gap behind each text keeps what ends with one text from what begins with the next
    begin = np.concatenate([[0], np.cumsum(length + 1)[:-1]])
    of_token = (begin[text] + offset)[labels.token["sentence"]]
    start, end = (labels.token[name] + of_token for name in ("char_start", "char_end"))
    of_span = begin[spans.sentence]
    placed = of_span + spans.start, of_span + spans.end
    columns = {}
    for name, label in spans.labels.items():
        codes = _codes(start, end, _stretches(spans, name, label, placed))
        columns[name] = _values(label, codes)
    return TokenLabels(columns, len(spans), _unmatched(start, end, *placed))


def _texts(labels: Labels, windowed: bool) -> tuple[Integers, Integers, Integers]:
    """Return the text of each sentence, where in it that begins, and the length of each text."""
    sizes = np.fromiter(map(len, labels.text), np.int64, len(labels.text))
    if not windowed:
        return np.arange(len(sizes), dtype=np.int64), np.zeros_like(sizes), sizes
    text, offset = (window_column(labels.columns, name) for name in (TEXT_INDEX, WINDOW_CHAR))
    length = np.zeros(int(text.max()) + 1, dtype=np.int64)
    np.maximum.at(length, text, offset + sizes)
    return text, offset, length


def _check_places(spans: Spans, length: Integers) -> None:
    """Raise InputError for the first span of the file that is none of these texts."""
    beyond = spans.sentence >= len(length)
    within = length[np.where(beyond, 0, spans.sentence)]
    wrong = np.flatnonzero(beyond | (spans.start >= spans.end) | (spans.end > within))
    if not len(wrong):
        return
    span = int(wrong[0])
    sentence, start, end = (int(part[span]) for part in (spans.sentence, spans.start, spans.end))
    if sentence >= len(length):
        problem = f"sentence {sentence}, expected one from 0 to {len(length) - 1}"
    elif start >= end:
        problem = f"char_start {start} and char_end {end}: expected a span of 1 character or more"
    else:
        problem = f"char_end {end}, but sentence {sentence} has {length[sentence]} characters"
    raise InputError(f"{spans.place(span)}: {problem}")


def _stretches(
    spans: Spans, name: str, label: Coded, placed: tuple[Integers, Integers]
) -> _Stretches:
    """Return the spans that have a label, in order, those that overlap as one.

    Raises InputError where two overlap whose labels differ.
    """
    chosen = np.flatnonzero(label.codes != NO_LABEL)
    chosen = chosen[np.argsort(placed[0][chosen], kind="stable")]
    start, end, code = (part[chosen] for part in (*placed, label.codes))
    if not len(chosen):
        return _Stretches(start, end, code)
    reach = np.maximum.accumulate(end)
    first = np.concatenate([[True], start[1:] >= reach[:-1]])  # of those that hang together
    clash = np.flatnonzero(~first[1:] & (code[1:] != code[:-1]))
    if len(clash):
        here = int(clash[0]) + 1
        # of the spans before, the one that reaches farthest has the label of the last of them
        there = int(np.flatnonzero(end[:here] == reach[here - 1])[-1])
        raise _clash(spans, name, label, int(chosen[here]), int(chosen[there]))
    starts = np.flatnonzero(first)
    return _Stretches(start[starts], np.maximum.reduceat(end, starts), code[starts])


def _clash(spans: Spans, name: str, label: Coded, one: int, other: int) -> InputError:
    one, other = sorted((one, other), reverse=True)
    here, there = (quoted(label.values[label.codes[span]]) for span in (one, other))
    return InputError(
        f"{spans.place(one)}: {name} {here} of characters {spans.start[one]} to {spans.end[one]} "
        f"overlaps {there} of line {spans.line[other]}: expected one {name} for a character"
    )


def _codes(start: Integers, end: Integers, of: _Stretches) -> Integers:
    """Return the code of the stretch that covers most of each token, NO_LABEL where none does."""
    low = np.searchsorted(of.end, start, side="right")  # the first that ends behind its start
    high = np.searchsorted(of.start, end, side="left")  # the first that begins behind its end
    count = np.where(start < end, high - low, 0)
    codes = np.full(len(start), NO_LABEL, dtype=np.int64)
    one = count == 1
    codes[one] = of.code[low[one]]
    several = np.flatnonzero(count > 1)
    if len(several):
        codes[several] = of.code[_largest(start[several], end[several], low, count, several, of)]
    return codes


def _largest(
    start: Integers,
    end: Integers,
    low: Integers,
    count: Integers,
    several: Integers,
    of: _Stretches,
) -> Integers:
    """Return for each token that meets ``several`` stretches the first with the largest overlap."""
    sizes = count[several]
    firsts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(several)), sizes)
    member = np.arange(int(sizes.sum())) - np.repeat(firsts - low[several], sizes)
    overlap = np.minimum(of.end[member], end[owner]) - np.maximum(of.start[member], start[owner])
    best = np.flatnonzero(overlap == np.maximum.reduceat(overlap, firsts)[owner])
    _, first = np.unique(owner[best], return_index=True)
    found: Integers = member[best[first]]
    return found


def _values(label: Coded, codes: Integers) -> npt.NDArray[Any]:
    """Return the labels of codes, in the dtype that a column of sentences would have."""
    used = np.unique(codes)
    written: Sequence[str | None] = [
        None if code == NO_LABEL else label.values[code] for code in used.tolist()
    ]
    return array_of(written, written=True)[np.searchsorted(used, codes)]


def _unmatched(start: Integers, end: Integers, first: Integers, last: Integers) -> int:
    """Return how many spans share no character with a token."""
    real = start < end
    starts, ends = np.sort(start[real]), np.sort(end[real])
    met = np.searchsorted(starts, last, side="left") - np.searchsorted(ends, first, side="right")
    return int(np.count_nonzero(met <= 0))
