"""The texts of a large run, read from its files when they are asked for.

The rest of its labels takes hardly more memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import StoredLabel
from actlas.store.labels.labels import TOKEN_LABELS, Labels, bytes_to_text
from actlas.store.reading.stored_labels import opened_shard, read_label, read_labels

AT_ONCE = 1 << 16  # sentences of a run whose texts are held in memory
CHUNK = 4096  # texts that are read at a time, and kept until others are


@dataclass(frozen=True)
class TextPlace:
    """Where the texts of consecutive sentences lie.

    That is a file, its committed size, and the place in it.
    """

    path: Path
    size: int
    label: StoredLabel

    def __len__(self) -> int:
        return self.label.shape[0]

    def __getitem__(self, rows: slice) -> tuple[str, ...]:
        """Read some texts; raises DamagedStore."""
        first, last, _ = rows.indices(len(self))
        with opened_shard(self.path, self.size) as read:
            characters = read_label(read, self.label.rows(first, last - first))
        try:
            return bytes_to_text(characters)
        except ValueError as error:  # no UTF-8 any more
            raise DamagedStore(
                f"{self.path}: labels were altered ({error}): see `actlas verify`"
            ) from error


class StoredTexts(Sequence[str]):
    """The texts of a run, read CHUNK at a time.

    Whoever goes through them in order reads each once.
    """

    def __init__(self, places: Sequence[TextPlace]) -> None:
        self._places = tuple(places)
        self._ends = list(accumulate(len(place) for place in places))
        self._kept: tuple[int, tuple[str, ...]] = (-1, ())

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[str]:
        for number in range(0, len(self), CHUNK):
            yield from self._chunk(number // CHUNK)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Read one text, or several."""
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]
        return self._chunk(number // CHUNK)[number % CHUNK]

    def _chunk(self, chunk: int) -> tuple[str, ...]:
        number, texts = self._kept
        if number != chunk:
            texts = tuple(self._read(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self))))
            self._kept = chunk, texts
        return texts

    def _read(self, first: int, last: int) -> Iterator[str]:
        place = bisect_right(self._ends, first)
        while first < last:
            start = self._ends[place] - len(self._places[place])
            yield from self._places[place][first - start : last - start]
            first, place = self._ends[place], place + 1


def labels_at(
    places: Sequence[tuple[Path, int, Mapping[str, StoredLabel]]], sentences: int
) -> Labels:
    """Return the labels that lie at ``places``, file, size and labels.

    Of more than AT_ONCE ``sentences`` texts stay there.

    Raises DamagedStore.
    """
    texts = [TextPlace(path, size, labels["text"]) for path, size, labels in places]
    held: list[str] | None = [] if sentences <= AT_ONCE else None
    tokens = sum(labels["position"].shape[0] for _, _, labels in places)
    # filled part by part: the parts are never there beside the whole
    token = {name: np.empty(tokens, dtype=np.int32) for name in TOKEN_LABELS}
    row_size, first, sentence = np.empty(sentences, dtype=np.int32), 0, 0
    for place, text in zip(places, texts, strict=True):
        part = read_labels(*place, None if held is not None else StoredTexts([text]))
        for name, array in part.token.items():
            token[name][first : first + part.tokens] = array
        row_size[sentence : sentence + len(part.text)] = part.row_size
        first, sentence = first + part.tokens, sentence + len(part.text)
        if held is not None:
            held += part.text
    return Labels(token, row_size, StoredTexts(texts) if held is None else tuple(held), {})
