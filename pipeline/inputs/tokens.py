"""Tokens: sentences through the model's own fast tokenizer.

Every token has its place in the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.sentences import BadLine, Sentences, named
from actlas.pipeline.inputs.tokenizer import Encoded, ModelTokenizer, open_tokenizer
from actlas.pipeline.inputs.windows import COLUMNS, TEXT_INDEX, Cut, Windows, cut, with_windows
from actlas.pipeline.models.folder import ModelFolder
from actlas.store.errors import InputError, UsageError, quoted
from actlas.store.labels.columns import columns_digest, encode
from actlas.store.labels.generated import Generated
from actlas.store.labels.labels import IntArray, Labels, text_digest
from actlas.store.labels.special import SpecialChoice, SpecialTokens

#: sentences and characters whose encodings, some hundred bytes a token, exist at a time
BATCH, CHARACTERS = 4096, 1 << 22


@dataclass(frozen=True)
class Tokenized:
    """Labels of all tokens, and the sentences that were too long, if they were to be skipped."""

    labels: Labels
    skipped: tuple[BadLine, ...]
    special: SpecialTokens  # around each sentence
    tokenizer: str  # digest of all files that decide the ids
    windows: Windows | None = None  # that the texts were cut into
    notes: tuple[str, ...] = ()  # to be reported
    generated: Generated | None = None  # how sentences came about that a model extended

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all token ids with their sentence bounds.

        The tokens' part of a run's identity.
        """
        digest = hashlib.sha256(self.labels.row_size.astype("<i8").tobytes())
        digest.update(self.labels.token["token_id"].astype("<i4").tobytes())
        return digest.hexdigest()

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 of the texts, recorded beside the identity, by which a file of them is known."""
        return text_digest(self.labels.text)

    @cached_property
    def columns_digest(self) -> str:
        """Digest of the columns, as label records have it."""
        return columns_digest(encode(self.labels.columns, self.labels.token_columns))


def tokenize(
    sentences: Sentences,
    model: ModelFolder,
    *,
    special: SpecialChoice = "default",
    skip_bad: bool = False,
    windows: Windows | None = None,
) -> Tokenized:
    """Return the tokens of all sentences, without padding.

    special: the special tokens around each, by default those that the tokenizer adds by itself.
    windows: cut the texts; each window is a sentence then, with the columns of its text and those
    of ``windows.COLUMNS``.
    Raises InputError naming the line of a sentence that has more tokens, special ones counted, than
    the model has positions, or none of its own, unless ``skip_bad``; UsageError for a model without
    a fast tokenizer, ids beyond its vocabulary or, with "bos", a tokenizer that has no BOS token or
    adds it by itself.
    """
    bad: list[BadLine] = []
    kept: list[int] = []
    parts: list[Encoded] = []
    _ = model.geometry  # an impossible config.json is named before transformers reads it
    with open_tokenizer(model.folder, model.name) as tokenizer:
        around = _special(tokenizer, model, special)
        sizes = windows.content(around, model) if windows else None
        for first, texts in _batches(sentences.text):
            encoded = tokenizer.encode(texts, special=special != "none")
            if special == "bos":
                encoded = _with_bos(encoded, around.before[0].id)
            _check_ids(encoded.ids, model)
            problems = _problems(encoded, around, model, cut_too=sizes is not None)
            bad += [
                BadLine(sentences.line[first + index], reason) for index, reason in problems.items()
            ]
            if bad and not skip_bad:
                place = sentences.place(bad[0].number)
                raise InputError(f"{place}: {bad[0].reason} (--skip-bad leaves such lines out)")
            good = [index for index in range(len(texts)) if index not in problems]
            kept += [first + index for index in good]
            parts.append(_rows(encoded, good) if problems else encoded)
    if not kept:
        asked = f"holds no sentence that {model.name} can take"
        raise InputError(f"{named(sentences.source)} {asked}: {bad[0].reason}")
    text = tuple(sentences.text[index] for index in kept)
    columns = {name: column[kept] for name, column in sentences.columns.items()}
    done = tuple(bad), around, tokenizer.digest
    if sizes is None:
        return Tokenized(_labels(text, columns, parts), *done)
    cuts = _cuts(text, parts, around, *sizes)
    return Tokenized(_windowed(columns, cuts), *done, windows, _cut_notes(cuts))


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the number of the first and the texts of each batch."""
    first = characters = 0
    for number, text in enumerate(texts):
        characters += len(text)
        if number + 1 - first == BATCH or characters >= CHARACTERS or number + 1 == len(texts):
            yield first, texts[first : number + 1]
            first, characters = number + 1, 0


def _special(tokenizer: ModelTokenizer, model: ModelFolder, choice: SpecialChoice) -> SpecialTokens:
    """Return what stands around each sentence; raises UsageError for what cannot."""
    if choice == "none":
        return SpecialTokens(choice=choice)
    special, option = tokenizer.special, "give --no-special"
    if choice == "bos":
        special, option = _with_its_bos(tokenizer, model), "leave --bos out"
    for token, number in (*special.before, *special.after):
        if number >= model.geometry.vocabulary:
            raise UsageError(
                f"{model.name}: its tokenizer's special token {quoted(token)} has id {number}, "
                f"expected one below {model.geometry.vocabulary}, the size of its vocabulary: "
                f"{option}"
            )
    return special


def _with_its_bos(tokenizer: ModelTokenizer, model: ModelFolder) -> SpecialTokens:
    """Return what the tokenizer adds, with its BOS token in front."""
    bos, special = tokenizer.bos, tokenizer.special
    if bos is None:
        raise UsageError(f"{model.name}: its tokenizer has no BOS token: leave --bos out")
    if bos.id in [each.id for each in special.before]:
        raise UsageError(
            f"{model.name}: its tokenizer puts its BOS token {quoted(bos.token)} in front of each "
            "sentence by itself: leave --bos out"
        )
    return replace(special, before=(bos, *special.before), choice="bos")


def _check_ids(ids: npt.NDArray[np.uint32], model: ModelFolder) -> None:
    largest, vocabulary = int(ids.max(initial=0)), model.geometry.vocabulary
    if largest >= vocabulary:
        raise UsageError(
            f"{model.name}: its tokenizer gives id {largest}, expected ids below {vocabulary}, "
            f"the size of its "
            "vocabulary: the tokenizer is another model's, or tokens were added without "
            "resizing the embeddings"
        )


def _problems(
    encoded: Encoded, special: SpecialTokens, model: ModelFolder, *, cut_too: bool
) -> dict[int, str]:
    """Return index → reason for the texts that the model cannot take, unless they are cut."""
    counts, positions = encoded.row_size, model.geometry.positions
    among = f", {len(special)} of them special" if len(special) else ""
    problems = {
        int(index): f"{counts[index]} tokens{among}, but {model.name} has {positions} positions: "
        f"--window {positions} cuts longer texts into windows"
        for index in np.flatnonzero(counts > positions)
        if not cut_too
    }
    empty = np.flatnonzero(counts == len(special))
    problems |= {int(index): "gives no token" for index in empty}
    return dict(sorted(problems.items()))


def _with_bos(encoded: Encoded, bos: int) -> Encoded:
    """Return the tokens with ``bos`` in front of each text; it covers no character."""
    starts = np.cumsum(encoded.row_size, dtype=np.int64) - encoded.row_size
    ids = np.insert(encoded.ids, starts, bos)
    return Encoded(ids, np.insert(encoded.spans, starts, 0, axis=0), encoded.row_size + 1)


def _rows(encoded: Encoded, kept: Sequence[int]) -> Encoded:
    """Return the tokens of the texts ``kept``."""
    mask = np.zeros(len(encoded.row_size), dtype=bool)
    mask[list(kept)] = True
    tokens = np.repeat(mask, encoded.row_size)
    return Encoded(encoded.ids[tokens], encoded.spans[tokens], encoded.row_size[mask])


def _cuts(
    text: tuple[str, ...], parts: list[Encoded], around: SpecialTokens, content: int, stride: int
) -> list[Cut]:
    """Return the windows of each batch that has texts."""
    ends = np.cumsum([0, *(len(part.row_size) for part in parts)]).tolist()
    places = zip(parts, pairwise(ends), strict=True)
    return [cut(part, text[a:b], around, content, stride) for part, (a, b) in places if a < b]


def _windowed(columns: Mapping[str, npt.NDArray[Any]], cuts: list[Cut]) -> Labels:
    """Return the labels of all windows; ``text_index`` counts over all batches of texts."""
    firsts = np.cumsum([0, *(each.index[-1] + 1 for each in cuts)])
    found = {name: np.concatenate([each.columns[name] for each in cuts]) for name in COLUMNS}
    texts = [each.index + first for each, first in zip(cuts, firsts[:-1], strict=True)]
    found[TEXT_INDEX] = np.concatenate(texts)
    text = tuple(piece for each in cuts for piece in each.text)
    return _labels(text, with_windows(columns, found), [each.encoded for each in cuts])


def _cut_notes(cuts: list[Cut]) -> tuple[str, ...]:
    """Say how many texts were cut."""
    counts = np.concatenate([np.bincount(each.index) for each in cuts])
    longer = counts > 1
    if not longer.any():
        return ()
    return (
        f"{np.count_nonzero(longer):,} of {len(counts):,} texts are cut into "
        f"{counts[longer].sum():,} windows",
    )


def _labels(
    text: tuple[str, ...], columns: Mapping[str, npt.NDArray[Any]], parts: list[Encoded]
) -> Labels:
    # checked: all below the vocabulary
    ids = np.concatenate([part.ids for part in parts]).astype(np.int32)
    spans = np.concatenate([part.spans for part in parts])
    row_size: IntArray = np.concatenate([part.row_size for part in parts]).astype(np.int32)
    starts = np.cumsum(row_size, dtype=np.int64) - row_size
    token = {
        "sentence": np.repeat(np.arange(len(text), dtype=np.int32), row_size),
        "position": (np.arange(len(ids)) - np.repeat(starts, row_size)).astype(np.int32),
        "token_id": ids,
        "char_start": spans[:, 0].copy(),
        "char_end": spans[:, 1].copy(),
    }
    return Labels(token, row_size, text, dict(columns))
