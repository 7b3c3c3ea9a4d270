"""A word in the stored texts, and the tokens that it covers."""

from __future__ import annotations

import difflib
import unicodedata
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices, sentences_of, texts_of
from actlas.analysis.data.word_boundaries import WordPattern, word_spans, words_of
from actlas.store.errors import ActlasError, quoted

LONGEST_HINTED = 100  # characters of a word to which nearest ones are looked for
# categories of characters that tokenizers may drop: accents, joiners, controls
DROPPED = ("M", "Cf", "Cc")


class TargetError(ActlasError, ValueError):
    """The word cannot be studied in these sentences; the message is one line."""


@dataclass(frozen=True, eq=False)
class Matches(Mapping[int, list[Indices]]):
    """Matches of a word: place of their sentence, first and last token, each (match,), in order."""

    sentence: Indices
    first: Indices
    last: Indices

    @classmethod
    def of(cls, rows: array[int]) -> Matches:
        """Return those of sentence, first and last token, one after the other."""
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)

    def __getitem__(self, sentence: int) -> list[Indices]:
        """Return the tokens of each match of a sentence."""
        start, end = np.searchsorted(self.sentence, (sentence, sentence + 1))
        if start == end:
            raise KeyError(sentence)
        ends = zip(self.first[start:end].tolist(), self.last[start:end].tolist(), strict=True)
        return [np.arange(first, last + 1) for first, last in ends]

    def __iter__(self) -> Iterator[int]:
        """Iterate over the sentences that have a match."""
        return iter(np.unique(self.sentence).tolist())

    def __len__(self) -> int:
        return len(np.unique(self.sentence))


@dataclass(frozen=True)
class Words:
    """Where a word is: indices along ``token`` of the run."""

    # place among ``sentences`` → the tokens of each match that has all of them
    found: Matches
    clipped: frozenset[int]  # places of sentences with a match that has not
    starts: Indices  # first token of each sentence, and the number of all
    numbers: Indices  # of each sentence, in ``sentence``

    @property
    def nowhere(self) -> bool:
        """Whether no sentence has the word, with or without its tokens."""
        return not len(self.found.first) and not self.clipped


def find_words(labels: xr.Dataset, word: str, case: bool = False) -> Words:
    """Return where ``word`` is, as a whole word (``word_boundaries``).

    Tokens may be left out of ``labels``, as in an export.

    labels: as ``select_tokens`` takes them; its ``text`` may be lazy. case: whether upper and lower
    case differ.
    """
    pattern = WordPattern(word, case)
    sentences = sentences_of(labels)
    starts = sentences.starts
    places = _Places(*(labels[name].values for name in ("position", "char_start", "char_end")))
    found, clipped = array("q"), set()
    for sentence, text in enumerate(texts_of(labels, sentences)):
        spans = pattern.spans(text)
        if not spans:
            continue
        tokens = [
            places.covered(starts[sentence], starts[sentence + 1], text, *span) for span in spans
        ]
        for each in tokens:
            if each is None:
                clipped.add(sentence)
            else:  # they follow one another
                found.extend((sentence, int(each[0]), int(each[-1])))
    return Words(Matches.of(found), frozenset(clipped), starts, sentences.numbers)


@dataclass(frozen=True)
class Word:
    """A word of a sentence and the tokens that share characters with it."""

    sentence: int  # place among the sentences that have tokens
    start: int  # characters of the sentence's text
    end: int
    tokens: Indices  # along ``token``, one after the other


def all_words(labels: xr.Dataset) -> Iterator[Word]:
    """Yield every word of the stored texts that has all of its tokens, in order.

    Words and their tokens are those of ``find_words``: whole by the rules of Unicode, without
    spaces and punctuation.
    """
    sentences = sentences_of(labels)
    starts = sentences.starts
    places = _Places(*(labels[name].values for name in ("position", "char_start", "char_end")))
    for sentence, text in enumerate(texts_of(labels, sentences)):
        for start, end in word_spans(text):
            tokens = places.covered(starts[sentence], starts[sentence + 1], text, start, end)
            if tokens is not None:
                yield Word(sentence, start, end, tokens)


def nowhere(labels: xr.Dataset, word: str) -> TargetError:
    """Return the error for a word that no sentence has, with the nearest that some have."""
    lengths = range(len(word) // 3, 3 * len(word) + 1)  # of others the ratio is below the cutoff
    near: list[str] = []
    if len(word) <= LONGEST_HINTED:
        known = {
            each for text in texts_of(labels) for each in words_of(text) if len(each) in lengths
        }
        near = difflib.get_close_matches(
            unicodedata.normalize("NFC", word), sorted(known), n=3, cutoff=0.5
        )
    hint = f": near to it are {', '.join(near)}" if near else ""
    return TargetError(
        f"the word {quoted(word)} occurs in none of the {len(sentences_of(labels))} sentences{hint}"
    )


@dataclass(frozen=True)
class _Places:
    """Labels of all tokens."""

    position: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]

    def covered(self, first: int, last: int, text: str, start: int, end: int) -> Indices | None:
        """Return the tokens in first … last that share characters with start … end of their text.

        None if one of them is missing.

        A token may begin with the space before the word, or leave it out; several may share a
        character, as those of its bytes do. Tokens without characters, such as BOS, are part of no
        word.
        """
        tokens = first + np.flatnonzero(
            (self.start[first:last] < end) & (self.end[first:last] > start)
        )
        if (
            not len(tokens)
            or self.position[tokens[-1]] - self.position[tokens[0]] != len(tokens) - 1
        ):
            return None
        before, after = text[start : self.start[tokens].min()], text[self.end[tokens].max() : end]
        if before.strip() and not self._follows(tokens[0], first):
            return None
        if _letters(after) and not (tokens[-1] + 1 < last and self._follows(tokens[-1] + 1, first)):
            return None
        return tokens

    def _follows(self, token: int, first: int) -> bool:
        """Whether no token is missing before ``token``.

        Characters without one were dropped by the tokenizer.
        """
        position = self.position[token]
        return bool(position == 0 or (token > first and self.position[token - 1] == position - 1))


def _letters(text: str) -> bool:
    """Whether ``text`` has characters that no tokenizer drops."""
    return any(
        not each.isspace() and not unicodedata.category(each).startswith(DROPPED) for each in text
    )
