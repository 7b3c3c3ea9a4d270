"""Windows: texts longer than a model takes, cut into pieces of their tokens that may overlap.

The tokens are those of the whole text; special tokens stand around each window as they do around a
text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.tokenizer import Encoded
from actlas.pipeline.models.folder import ModelFolder
from actlas.store.errors import InputError, UsageError, quoted
from actlas.store.labels.special import SpecialTokens

#: columns of a run of windows
TEXT_INDEX, WINDOW, WINDOW_START, WINDOW_CHAR = COLUMNS = (
    "text_index",  # number of the text that it is of, from 0
    "window",  # its number in that text, from 0
    "window_start",  # its first token, counted in the text without special tokens
    "window_char",  # the character of the text where its own text begins
)


@dataclass(frozen=True)
class Windows:
    """Tokens of a window, special ones counted, and from the start of one to that of the next."""

    size: int
    stride: int | None = None  # None: one begins where the one before ends

    def content(self, special: SpecialTokens, model: ModelFolder) -> tuple[int, int]:
        """Return tokens of the text in a window, and the stride.

        Raises UsageError for windows that the model has no positions for, or no room for text, and
        for a stride that would leave tokens out.
        """
        positions, content = model.geometry.positions, self.size - len(special)
        if self.size > positions:
            raise UsageError(
                f"--window {self.size}: {model.name} has {positions} positions, expected at most "
                "as many"
            )
        around = f" without its {len(special)} special tokens" if len(special) else ""
        if content < 1:
            raise UsageError(f"--window {self.size} has no room for text{around}: give more tokens")
        stride = content if self.stride is None else self.stride
        if stride > content:
            raise UsageError(
                f"--stride {stride} would leave tokens out: expected at most {content}, the "
                f"tokens of a window{around}"
            )
        return content, stride


@dataclass(frozen=True)
class Cut:
    """The windows of some texts, one after the other."""

    encoded: Encoded
    text: tuple[str, ...]
    columns: Mapping[str, npt.NDArray[np.int64]]  # ``COLUMNS``, (window,)

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """The text that each window is of."""
        return self.columns[TEXT_INDEX]


def chosen_windows(size: int | None, stride: int | None) -> Windows | None:
    """Return what ``--window`` and ``--stride`` ask for; raises UsageError for a stride alone."""
    if size is None and stride is not None:
        raise UsageError("--stride is of the windows of --window: give both, or neither")
    return None if size is None else Windows(size, stride)


def cut(
    encoded: Encoded, texts: Sequence[str], special: SpecialTokens, content: int, stride: int
) -> Cut:
    """Return the windows of ``texts``, which ``encoded`` has with ``special`` around each.

    content, stride: as ``Windows.content`` returns them. The text of a window reaches from its
    first character to its last; that of the first from the beginning of the text, of the last to
    its end.
    """
    before, around = len(special.before), len(special)
    sizes = encoded.row_size.astype(np.int64) - around
    counts = 1 + np.maximum(0, -((content - sizes) // stride))
    index = np.repeat(np.arange(len(sizes)), counts)
    number = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = number * stride
    length = np.minimum(content, sizes[index] - start)
    taken = _taken(encoded, index, start, length, before, around)
    row_size = length + around
    spans = encoded.spans[taken].astype(np.int64)
    firsts = np.cumsum(row_size) - row_size
    first = np.where(spans[:, 0] < spans[:, 1], spans[:, 0], np.iinfo(np.int64).max)
    begin = np.minimum(np.minimum.reduceat(first, firsts), np.maximum.reduceat(spans[:, 0], firsts))
    end = np.maximum.reduceat(spans[:, 1], firsts)
    begin = np.where(number == 0, 0, begin)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    end = np.where(number == counts[index] - 1, lengths[index], end)
    # special tokens, and others without a character, cover none of the window either
    moved = np.maximum(0, spans - np.repeat(begin, row_size)[:, np.newaxis])
    pieces = zip(index.tolist(), begin.tolist(), end.tolist(), strict=True)
    return Cut(
        Encoded(encoded.ids[taken], moved.astype(np.int32), row_size.astype(np.int32)),
        tuple(texts[text][a:b] for text, a, b in pieces),
        dict(zip(COLUMNS, (index, number, start, begin), strict=True)),
    )


def _taken(
    encoded: Encoded,
    index: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    before: int,
    around: int,
) -> npt.NDArray[np.int64]:
    """Return which of the tokens of whole texts make the windows, (token of all windows,)."""
    ends = np.cumsum(encoded.row_size, dtype=np.int64)
    firsts, row_size = ends - encoded.row_size, length + around
    place = np.arange(int(row_size.sum())) - np.repeat(np.cumsum(row_size) - row_size, row_size)
    owner = np.repeat(np.arange(len(index)), row_size)
    text, of_text = firsts[index][owner], start[owner]
    from_end = ends[index][owner] - row_size[owner]  # of the special tokens behind
    inside = text + of_text + place
    found: npt.NDArray[np.int64] = np.where(
        place < before,
        text + place,
        np.where(place < before + length[owner], inside, from_end + place),
    )
    return found


def window_column(columns: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[np.int64]:
    """Return a column of a run of windows; raises InputError where it was replaced."""
    column = columns.get(name)
    if column is None or column.dtype.kind != "i" or column.min() < 0:
        raise InputError(
            f"the run's label {quoted(name)}, by which its windows are known, was replaced: "
            "extract the texts again"
        )
    return column.astype(np.int64)


def with_windows(
    columns: Mapping[str, npt.NDArray[Any]], windows: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of texts as those of their windows, and ``COLUMNS``.

    Raises InputError for a column that has the name of one of these.
    """
    for name in COLUMNS:
        if name in columns:
            raise InputError(
                f"the input has a column {quoted(name)}, which windows have too: --rename "
                f"{name}=NEW gives it another name"
            )
    index = windows[TEXT_INDEX]
    return {**{name: column[index] for name, column in columns.items()}, **windows}
