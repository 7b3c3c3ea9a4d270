"""The words of a vocabulary, as people read them: ``" her"``, with its space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt


class Words:
    """Token id → its characters, read from the bytes of all, one after the other."""

    def __init__(self, lengths: npt.NDArray[np.int32], characters: npt.NDArray[Any]) -> None:
        self._ends = np.cumsum(lengths, dtype=np.int64)
        self._lengths, self._bytes = lengths, characters

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        return len(self._lengths)

    def __getitem__(self, token_id: int) -> str:
        """Return the characters of a token; ``<id>`` for one that the tokenizer never gives."""
        if not 0 <= token_id < len(self):
            return f"<{token_id}>"
        end = int(self._ends[token_id])
        found = self._bytes[end - int(self._lengths[token_id]) : end].tobytes()
        return found.decode("utf-8", errors="replace") or f"<{token_id}>"

    def of(self, ids: Iterable[int]) -> list[str]:
        """Return the characters of several tokens."""
        return [self[int(each)] for each in ids]

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Characters → the lowest id that has them."""
        found: dict[str, int] = {}
        for token_id in range(len(self)):
            if self._lengths[token_id]:
                found.setdefault(self[token_id], token_id)
        return found

    def id_of(self, text: str) -> int | None:
        """Return the id of a word: behind a space where that is a token, else as it is given."""
        for each in (text,) if text[:1].isspace() else (f" {text}", text):
            if each in self._ids:
                return self._ids[each]
        return None

    def longest_beginning(self, text: str) -> str | None:
        """Return the longest token that begins ``text``, behind a space before without."""
        for each in (text,) if text[:1].isspace() else (f" {text}", text):
            for end in range(len(each), 1 if each[:1].isspace() else 0, -1):
                if each[:end] in self._ids:
                    return each[:end]
        return None


def word_bytes(words: Sequence[str]) -> tuple[npt.NDArray[np.int32], bytes]:
    """Return what ``Words`` reads: the bytes of each word, and all of them in UTF-8."""
    encoded = [word.encode("utf-8", errors="replace") for word in words]
    return np.array([len(each) for each in encoded], dtype="<i4"), b"".join(encoded)
