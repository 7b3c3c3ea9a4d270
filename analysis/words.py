"""A word in the stored texts, and the tokens that it covers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.sentences import Indices, sentences_of, texts_of
from actlas.store.errors import ActlasError


class TargetError(ActlasError, ValueError):
    """The word cannot be studied in these sentences; the message is one line."""


@dataclass(frozen=True)
class Words:
    """Where a word is: indices along ``token`` of the run."""

    found: Mapping[int, list[Indices]]  # place among ``sentences`` → the tokens of each match that has all of them
    clipped: frozenset[int]  # places of sentences with a match that has not
    starts: Indices  # first token of each sentence, and the number of all
    numbers: Indices  # of each sentence, in ``sentence``


def find_words(labels: xr.Dataset, word: str, case: bool = False) -> Words:
    """Return where ``word`` is, as a whole word; some tokens of a sentence may be left out of ``labels``, as in an export.

    labels: as ``select_tokens`` takes them; its ``text`` may be lazy. case: whether upper and lower case differ.
    """
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", 0 if case else re.IGNORECASE)
    sentences = sentences_of(labels)
    starts = sentences.starts
    places = _Places(*(labels[name].values for name in ("position", "char_start", "char_end")))
    found, clipped = {}, set()
    for sentence, text in enumerate(texts_of(labels)):
        spans = [match.span() for match in pattern.finditer(text)]
        if not spans:
            continue
        tokens = [places.covered(starts[sentence], starts[sentence + 1], text, *span) for span in spans]
        found[sentence] = [each for each in tokens if each is not None]
        if len(found[sentence]) < len(spans):
            clipped.add(sentence)
    return Words(found, frozenset(clipped), starts, sentences.numbers)


def nowhere(labels: xr.Dataset, word: str) -> TargetError:
    """Return the error for a word that no sentence has, with the nearest that some have."""
    known = {each for text in texts_of(labels) for each in re.findall(r"\w+", text)}
    near = difflib.get_close_matches(word, sorted(known), n=3, cutoff=0.5)
    hint = f": near to it are {', '.join(near)}" if near else ""
    return TargetError(f"the word {word!r} occurs in none of the {len(sentences_of(labels))} sentences{hint}")


@dataclass(frozen=True)
class _Places:
    """Labels of all tokens."""

    position: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]

    def covered(self, first: int, last: int, text: str, start: int, end: int) -> Indices | None:
        """Return the tokens in first … last that share characters with start … end of their text, None where one is not there.

        A token may begin with the space before the word, or leave it out.
        """
        tokens = first + np.flatnonzero((self.start[first:last] < end) & (self.end[first:last] > start))
        if not len(tokens) or self.position[tokens[-1]] - self.position[tokens[0]] != len(tokens) - 1:
            return None
        before, after = text[start : self.start[tokens[0]]], text[self.end[tokens[-1]] : end]
        return None if before.strip() or after.strip() else tokens
