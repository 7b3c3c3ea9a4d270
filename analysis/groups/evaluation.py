"""Which tokens a condition holds for, found offline from labels, texts and offsets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from actlas.analysis.data.apart import special_tokens
from actlas.analysis.data.sentences import Indices, Sentences, sentences_of, texts_of
from actlas.analysis.data.words import Words, find_words, nowhere
from actlas.analysis.groups.conditions import (
    KEYS,
    Column,
    Condition,
    Not,
    Numbers,
    Regex,
    Text,
    Word,
    WordList,
)
from actlas.analysis.groups.grammar import Group
from actlas.store.errors import UsageError, quoted, unknown
from actlas.store.labels.labels import SENTENCE_IN_RUN, TOKEN_LABELS

Mask = npt.NDArray[np.bool_]

OWN_LABELS = (*TOKEN_LABELS, "special", "text")  # that every run has; not the user's
#: of these, those that are no columns: conditions of their own stand for them
_HIDDEN = ("text", "position", "char_start", "char_end")


@dataclass(frozen=True)
class Found:
    """Tokens of a group: the first and last of each match, the same where a match is one token."""

    first: Indices
    last: Indices


@dataclass(frozen=True)
class TokenTable:
    """The labels of a view as conditions read them; what is asked twice is found once.

    labels: ``sentence``, ``position``, ``char_start``, ``char_end``, ``text`` and columns on
    ``token``. case: whether upper and lower case of words differ.
    """

    labels: xr.Dataset
    case: bool = False
    _words: dict[str, Words] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self.labels.sizes["token"])

    @cached_property
    def sentences(self) -> Sentences:
        """The sentences of the view."""
        return sentences_of(self.labels)

    @cached_property
    def position(self) -> Indices:
        """Position of each token in its sentence."""
        position: Indices = self.labels["position"].values
        return position

    @cached_property
    def of_sentence(self) -> Indices:
        """Place of each token's sentence among ``sentences``."""
        return np.repeat(np.arange(len(self.sentences)), self.sentences.sizes)

    @cached_property
    def texts(self) -> list[str]:
        """The characters of each token."""
        starts, ends = (self.labels[f"char_{edge}"].values.tolist() for edge in ("start", "end"))
        bounds, found = self.sentences.starts.tolist(), []
        for number, text in enumerate(texts_of(self.labels, self.sentences)):
            for token in range(bounds[number], bounds[number + 1]):
                found.append(text[starts[token] : ends[token]])
        return found

    @cached_property
    def lengths(self) -> Indices:
        """Characters of each token, without spaces around them."""
        return np.array([len(text.strip()) for text in self.texts], dtype=np.int64)

    @property
    def columns(self) -> tuple[str, ...]:
        """The user's columns: all labels on ``token`` that not every run has."""
        return columns_of(self.labels)

    def found(self, group: Group) -> Found:
        """Return the tokens of ``group``, in order.

        Raises UsageError for an unknown column, or a value that a column never has.
        """
        mask, first = np.ones(self.size, dtype=bool), np.arange(self.size)
        for condition in group.conditions:
            if isinstance(condition, Word):
                begins = self._begins(condition)
                mask &= begins >= 0
                first = np.where(begins >= 0, np.minimum(first, begins), first)
            else:
                mask &= self.holds(condition)
        last = np.flatnonzero(mask)
        found = Found(first[last], last)
        return self._moved(found, group.offset) if group.offset else found

    def matches(self, group: Group) -> Found:
        """Return ``found``; raises UsageError, naming the nearest words, where there is none."""
        found = self.found(group)
        if len(found.last):
            return found
        first, *others = group.conditions
        alone = not others and isinstance(first, Word) and len(first.words) == 1
        words = first.words if alone and isinstance(first, Word) else ()
        # there or not, its tokens may not be in this part of the run
        if words and self.words(words[0]).nowhere:
            raise UsageError(str(nowhere(self.labels, words[0])))
        raise UsageError(f"{group.condition_text} matches none of the {self.size} tokens")

    def holds(self, condition: Condition) -> Mask:
        """Return which tokens a condition holds for, of a word its last ones: (token,)."""
        if isinstance(condition, Not):
            inner = condition.condition
            return ~(self._covered(inner) if isinstance(inner, Word) else self.holds(inner))
        if isinstance(condition, Word):
            return self._begins(condition) >= 0
        if isinstance(condition, Text):
            wanted = set(condition.texts)
            return np.array([text.strip() in wanted for text in self.texts], dtype=bool)
        if isinstance(condition, Regex):
            search = condition.compiled().search
            return np.array([search(text) is not None for text in self.texts], dtype=bool)
        if isinstance(condition, Numbers):
            return self._within(condition)
        if isinstance(condition, WordList):
            raise UsageError(f"{condition}: read the list first, as `select_groups` does")
        return self._column(condition)

    def words(self, word: str) -> Words:
        """Return where a word is."""
        if word not in self._words:
            self._words[word] = find_words(self.labels, word, self.case)
        return self._words[word]

    def _begins(self, condition: Word) -> Indices:
        """Return the first token of the word that each token ends, the longest one; -1 of none."""
        begins = np.full(self.size, self.size)
        for word in condition.words:
            matches = self.words(word).found
            np.minimum.at(begins, matches.last, matches.first)
        return np.where(begins < self.size, begins, -1)

    def _covered(self, condition: Word) -> Mask:
        covered = np.zeros(self.size, dtype=bool)
        for word in condition.words:
            matches = self.words(word).found
            for first, last in zip(matches.first, matches.last, strict=True):
                covered[first : last + 1] = True
        return covered

    def _within(self, condition: Numbers) -> Mask:
        numbers = self._numbers(condition)
        holds = np.zeros(self.size, dtype=bool)
        for low, high in condition.ranges:
            one = self._from_the_end if low < 0 else numbers
            holds |= (one >= low) & (one <= high)
        return holds

    def _numbers(self, condition: Numbers) -> Indices:
        if condition.kind == "position":
            return self.position
        if condition.kind == "length":
            return self.lengths
        ids = self.labels["token_id"].values.astype(np.int64)
        if condition.kind == "id":
            return ids
        _, code, counts = np.unique(ids, return_inverse=True, return_counts=True)
        return counts[code].astype(np.int64)

    @cached_property
    def _from_the_end(self) -> Indices:
        """Return -1 for the last token of a sentence, -2 …; special ones are not counted: 0."""
        own = ~special_tokens(self.labels)
        last = np.zeros(len(self.sentences), dtype=np.int64)
        np.maximum.at(last, self.of_sentence[own], self.position[own])
        self._refuse_cut(own)
        return np.where(own, self.position - last[self.of_sentence] - 1, 0)

    def _refuse_cut(self, own: Mask) -> None:
        """Raise UsageError where an export lacks the ends of sentences, which are counted from."""
        if SENTENCE_IN_RUN not in self.labels.coords:
            return
        ends = np.zeros(len(self.sentences), dtype=np.int64)
        np.maximum.at(ends, self.of_sentence[own], self.labels["char_end"].values[own])
        texts = (text.rstrip() for text in texts_of(self.labels, self.sentences))
        cut = sum(end < len(text) for end, text in zip(ends.tolist(), texts, strict=True))
        if cut:
            raise UsageError(
                f"positions from the end of a sentence: the last tokens of {cut} of {len(ends)} "
                "sentences are not in this export: use the whole run"
            )

    def _column(self, condition: Column) -> Mask:
        name, known = condition.name, (*KEYS, *self.columns)
        if name in _HIDDEN or (name not in known and name not in column_labels(self.labels)):
            raise unknown("condition or column", name, known)
        codes, values = pd.factorize(self.labels[name].values, use_na_sentinel=False)
        shown = [str(value) for value in values]
        for value in condition.values:
            if value not in shown:
                some = ", ".join(quoted(each) for each in sorted(shown)[:10])
                more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
                raise UsageError(f"column {name} never is {quoted(value)}: it is {some}{more}")
        wanted = [code for code, value in enumerate(shown) if value in condition.values]
        return np.isin(codes, wanted)

    def _moved(self, found: Found, offset: int) -> Found:
        """Return the tokens ``offset`` before or behind matches, each once, in their sentences."""
        start = found.first if offset < 0 else found.last
        # of a part of a run, tokens may be left out between two: they are found by their numbers
        reach = int(self.position.max(initial=0)) + 1
        position = self.position[start] + offset
        key = self.of_sentence * reach + self.position
        order = np.argsort(key, kind="stable")
        wanted = self.of_sentence[start] * reach + position
        at = np.searchsorted(key[order], wanted).clip(max=len(key) - 1)
        there = (key[order][at] == wanted) & (position >= 0) & (position < reach)
        tokens = np.unique(order[at[there]]).astype(np.int64)
        return Found(tokens, tokens)


def column_labels(labels: xr.Dataset) -> tuple[str, ...]:
    """Return the names of all labels on ``token``."""
    return tuple(str(name) for name, label in labels.coords.items() if label.dims == ("token",))


def columns_of(labels: xr.Dataset) -> tuple[str, ...]:
    """Return the user's columns: all labels on ``token`` that not every run has."""
    return tuple(name for name in column_labels(labels) if name not in OWN_LABELS)
