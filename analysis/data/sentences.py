"""The sentences of a view, whose labels all lie on its tokens.

Where each begins, its number and its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.store.errors import UsageError

TEXTS = 1 << 14  # that are read at a time: those of a large run are never all in memory

Indices = npt.NDArray[np.integer]  # of the narrowest type, where there may be 10⁸


@dataclass(frozen=True)
class Sentences:
    """The sentences that have tokens in a view, in its order."""

    numbers: Indices  # in ``sentence``
    starts: Indices  # first token of each along ``token``, and the number of all tokens

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> Indices:
        """Tokens of each that are there."""
        return np.diff(self.starts)


def sentences_of(labels: xr.Dataset) -> Sentences:
    """Return the sentences of ``labels``, with ``sentence`` on ``token``.

    Raises UsageError where the tokens of one do not follow each other, as after sorting by
    something else.
    """
    of_token = labels["sentence"].values
    begins = np.ones(len(of_token), dtype=bool)
    begins[1:] = of_token[1:] != of_token[:-1]
    first = np.flatnonzero(begins)
    numbers = of_token[first].astype(np.int64)
    ascending = bool(np.all(numbers[1:] > numbers[:-1]))
    if not ascending and len(np.unique(numbers)) < len(numbers):
        raise UsageError(
            "the tokens of a sentence do not follow each other: sort them, ds.sortby(['sentence', "
            "'position'])"
        )
    return Sentences(numbers, np.append(first, len(of_token)))


def texts_of(labels: xr.Dataset, sentences: Sentences | None = None) -> Iterator[str]:
    """Yield the text of each sentence, read TEXTS at a time where they are not in memory.

    sentences: those of ``labels``, where they are known already.
    """
    stored, starts = labels["text"].variable, (sentences or sentences_of(labels)).starts[:-1]
    for first in range(0, len(starts), TEXTS):
        yield from map(str, stored[starts[first : first + TEXTS]].values)
