"""The labels of tokens and sentences: what is known of them beside their activations.

On ``token``: sentence, position, token_id, char_start, char_end. On ``sentence``: row_size, text.
These are structural: they follow from texts and tokenizer, and lie in the shards. The user's own
columns, of sentences and of tokens, may change, and have records of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]

#: label → what it means, as written into the files
TOKEN_LABELS: Mapping[str, str] = {
    "sentence": "index of the token's sentence in the run",
    "position": "position of the token in its sentence, from 0",
    "token_id": "id in the model's vocabulary",
    "char_start": "first character of the token in its sentence's text",
    "char_end": "character after the token's last in its sentence's text",
}
TEXT_DIM = "text_bytes"
KEPT = "kept"  # label of a file that has rows of some tokens: 1 where a token has one, else 0
KEPT_TOKEN = "kept_token"  # what such a file calls the dimension of these rows
SENTENCE_IN_RUN = "sentence_in_run"  # column of an export that leaves sentences out
INSTANCE = "instance"  # what netCDF files call the dimension with one entry a sentence
#: begins the names of the variables there, which are then no names of labels of tokens
OF_SENTENCE = "sentence_"
OF_TOKEN = "label_"  # begins the names of the user's labels of tokens


@dataclass(frozen=True)
class KeptTokens:
    """Which of consecutive tokens have rows; ``digest`` and ``tokens`` as in a record's ``Kept``.

    mask: int32 (token,), 1 where a token has one, else 0.
    """

    digest: str
    tokens: tuple[str, ...]
    mask: IntArray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(np.count_nonzero(self.mask))

    def counts(self, tokens: Iterable[int]) -> tuple[int, ...]:
        """Return the number of rows of each unit; tokens: of each, in order."""
        ends = list(accumulate(tokens, initial=0))
        return tuple(int(np.count_nonzero(self.mask[a:b])) for a, b in pairwise(ends))


@dataclass(frozen=True)
class Labels:
    """Labels of consecutive sentences: int32 arrays on ``token``, arrays on ``sentence``."""

    token: Mapping[str, IntArray]
    row_size: IntArray
    text: Sequence[str]
    columns: Mapping[str, npt.NDArray[Any]]
    # the user's own labels of tokens, as ``columns`` are of sentences
    token_columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    kept: KeptTokens | None = None  # the tokens whose activations are kept, all where None

    def __post_init__(self) -> None:
        """Check that token labels and row sizes speak of the same tokens."""
        if set(self.token) != set(TOKEN_LABELS):
            raise ValueError(
                f"token labels are {sorted(self.token)}, expected {sorted(TOKEN_LABELS)}"
            )
        every = (*self.token.values(), *self.token_columns.values())
        if any(array.shape != (self.tokens,) for array in every):
            raise ValueError(f"token labels do not all have {self.tokens} tokens")
        if self.kept is not None and self.kept.mask.shape != (self.tokens,):
            raise ValueError(f"{len(self.kept.mask)} tokens may be kept, there are {self.tokens}")
        if any(len(column) != len(self.text) for column in (self.row_size, *self.columns.values())):
            raise ValueError(f"sentence labels do not all have {len(self.text)} sentences")

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return int(self.row_size.sum())

    @property
    def rows(self) -> int:
        """Number of tokens whose activations are kept."""
        return self.tokens if self.kept is None else self.kept.rows

    @property
    def counts(self) -> dict[str, int]:
        """Number of sentences and tokens, by the name of the dim."""
        return {"sentence": len(self.text), "token": self.tokens}

    def token_text(self, token: int) -> str:
        """Return the characters of a token, counted along these sentences."""
        sentence = int(np.searchsorted(self._ends, token, side="right")) - 1
        return self.text[sentence][
            int(self.token["char_start"][token]) : int(self.token["char_end"][token])
        ]

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        """First token of each sentence, and the token after the last."""
        return np.concatenate([[0], np.cumsum(self.row_size, dtype=np.int64)])

    def sentences(self, first: int, count: int) -> Labels:
        """Return the labels of sentences ``first`` … ``first + count − 1`` alone.

        ``sentence`` keeps its numbers.
        """
        rows = slice(self._ends[first], self._ends[first + count])
        part = slice(first, first + count)
        return Labels(
            token={name: array[rows] for name, array in self.token.items()},
            row_size=self.row_size[part],
            text=self.text[part],
            columns={name: column[part] for name, column in self.columns.items()},
            token_columns={name: column[rows] for name, column in self.token_columns.items()},
            kept=self.kept and replace(self.kept, mask=self.kept.mask[rows]),
        )


def join_labels(parts: Sequence[Labels], text: Sequence[str] | None = None) -> Labels:
    """Return the labels of sentences that follow each other.

    Their texts are included, unless they are given.
    """
    return Labels(
        token={name: np.concatenate([part.token[name] for part in parts]) for name in TOKEN_LABELS},
        row_size=np.concatenate([part.row_size for part in parts]),
        text=tuple(each for part in parts for each in part.text) if text is None else text,
        columns={
            name: np.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        },
        token_columns={
            name: np.concatenate([part.token_columns[name] for part in parts])
            for name in parts[0].token_columns
        },
        kept=parts[0].kept
        and replace(
            parts[0].kept, mask=np.concatenate([part.kept.mask for part in parts if part.kept])
        ),
    )


def text_digest(texts: Iterable[str]) -> str:
    """Return the SHA-256 in hex of texts in their order."""
    digest = hashlib.sha256()
    for number, text in enumerate(texts):
        digest.update(f"\0{text}".encode() if number else text.encode())
    return digest.hexdigest()


def file_dims(dims: tuple[str, ...]) -> tuple[str, ...]:
    """Return the dims of a label as a netCDF file calls them.

    There `sentence` is a variable on `token`, and no dimension.
    """
    return tuple(INSTANCE if dim == "sentence" else dim for dim in dims)


def file_name(label: str) -> str:
    """Return the variable that a netCDF file has for a label."""
    return label if label in (*TOKEN_LABELS, "row_size", KEPT) else OF_SENTENCE + label


def text_to_bytes(texts: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.bytes_]:
    """Return UTF-8 as single bytes, (sentence, text_bytes) of dtype S1, zero padded.

    Fixed-size characters instead of HDF5's variable strings: they lie inside the checksummed bytes
    of the file.
    """
    encoded = [str(text).encode() for text in texts]
    width = max(1, max((len(text) for text in encoded), default=1))
    return np.array(encoded, dtype=f"S{width}").view("S1").reshape(len(encoded), width)


def bytes_to_text(characters: npt.NDArray[np.bytes_]) -> tuple[str, ...]:
    """Undo ``text_to_bytes``."""
    rows = np.ascontiguousarray(characters).view(f"S{characters.shape[1]}").reshape(-1)
    return tuple(row.decode() for row in rows)
