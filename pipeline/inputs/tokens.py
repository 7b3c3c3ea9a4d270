"""Tokens: sentences through the model's own fast tokenizer.

Every token has its place in the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.sentences import BadLine, Sentences, named
from actlas.pipeline.inputs.tokenizer import Encoded, ModelTokenizer, open_tokenizer
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
        return columns_digest(encode(self.labels.columns))


def tokenize(
    sentences: Sentences,
    model: ModelFolder,
    *,
    special: SpecialChoice = "default",
    skip_bad: bool = False,
) -> Tokenized:
    """Return the tokens of all sentences, without padding.

    special: the special tokens around each, by default those that the tokenizer adds by itself.
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
        for first, texts in _batches(sentences.text):
            encoded = tokenizer.encode(texts, special=special != "none")
            if special == "bos":
                encoded = _with_bos(encoded, around.before[0].id)
            _check_ids(encoded.ids, model)
            problems = _problems(encoded, around, model)
            bad += [
                BadLine(sentences.line[first + index], reason) for index, reason in problems.items()
            ]
            if bad and not skip_bad:
                place = f"{named(sentences.source)}, line {bad[0].number}"
                raise InputError(f"{place}: {bad[0].reason} (--skip-bad leaves such lines out)")
            good = [index for index in range(len(texts)) if index not in problems]
            kept += [first + index for index in good]
            parts.append(_rows(encoded, good) if problems else encoded)
    if not kept:
        raise InputError(
            f"{named(sentences.source)} holds no sentence that {model.name} can take: "
            f"{bad[0].reason}"
        )
    return Tokenized(_labels(sentences, kept, parts), tuple(bad), around, tokenizer.digest)


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


def _problems(encoded: Encoded, special: SpecialTokens, model: ModelFolder) -> dict[int, str]:
    """Return index → reason for the texts that the model cannot take."""
    counts, positions = encoded.row_size, model.geometry.positions
    among = f", {len(special)} of them special" if len(special) else ""
    problems = {
        int(index): f"{counts[index]} tokens{among}, but {model.name} has {positions} positions"
        for index in np.flatnonzero(counts > positions)
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


def _labels(sentences: Sentences, kept: list[int], parts: list[Encoded]) -> Labels:
    # checked: all below the vocabulary
    ids = np.concatenate([part.ids for part in parts]).astype(np.int32)
    spans = np.concatenate([part.spans for part in parts])
    row_size: IntArray = np.concatenate([part.row_size for part in parts]).astype(np.int32)
    starts = np.cumsum(row_size, dtype=np.int64) - row_size
    token = {
        "sentence": np.repeat(np.arange(len(kept), dtype=np.int32), row_size),
        "position": (np.arange(len(ids)) - np.repeat(starts, row_size)).astype(np.int32),
        "token_id": ids,
        "char_start": spans[:, 0].copy(),
        "char_end": spans[:, 1].copy(),
    }
    columns = {name: column[kept] for name, column in sentences.columns.items()}
    return Labels(token, row_size, tuple(sentences.text[index] for index in kept), columns)
