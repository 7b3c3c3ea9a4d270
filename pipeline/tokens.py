"""Tokens: sentences through the model's own fast tokenizer, with the place of every token in its text.

Uses `tokenizers` alone, so a run that is stored already is recognised without importing torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actlas.pipeline.models import ModelFolder, has_tokenizer
from actlas.pipeline.sentences import BadLine, Sentences, named
from actlas.store.columns import columns_digest, encode
from actlas.store.errors import InputError, UsageError
from actlas.store.labels import IntArray, Labels, text_digest

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

END = "<|endoftext|>"
BATCH = 4096  # sentences whose encodings, some hundred bytes a token, exist at a time


@dataclass(frozen=True)
class Tokenized:
    """Labels of all tokens, and the sentences that were too long, if they were to be skipped."""

    labels: Labels
    skipped: tuple[BadLine, ...]
    bos: bool
    tokenizer: str  # digest of the tokenizer's files

    @property
    def digest(self) -> str:
        """SHA-256 of all token ids with their sentence bounds: the tokens' part of a run's identity."""
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


def tokenize(sentences: Sentences, model: ModelFolder, *, bos: bool = False, skip_bad: bool = False) -> Tokenized:
    """Return the tokens of all sentences, without padding; a BOS token in front only with ``bos``.

    Raises InputError naming the line of a sentence that has more tokens than the model has positions or none at all,
    unless ``skip_bad``; UsageError for a model without a fast tokenizer or, with ``bos``, without a BOS token.
    """
    tokenizer = load_tokenizer(model.folder)
    prefix = [_bos(model)] if bos else []
    bad: list[BadLine] = []
    kept: list[int] = []
    parts: list[_Part] = []
    for first in range(0, len(sentences.text), BATCH):
        encodings = tokenizer.encode_batch(list(sentences.text[first : first + BATCH]), add_special_tokens=False)
        problems = [_problem(encoding, len(prefix), model) for encoding in encodings]
        bad += [BadLine(sentences.line[first + index], problem) for index, problem in enumerate(problems) if problem]
        if bad and not skip_bad:
            place = f"{named(sentences.source)}, line {bad[0].number}"
            raise InputError(f"{place}: {bad[0].reason} (--skip-bad leaves such lines out)")
        good = [index for index, problem in enumerate(problems) if not problem]
        kept += [first + index for index in good]
        parts.append(_part([encodings[index] for index in good], prefix))
    if not kept:
        raise InputError(f"{named(sentences.source)} holds no sentence that {model.name} can take: {bad[0].reason}")
    labels = _labels(sentences, kept, parts)
    largest = int(labels.token["token_id"].max())
    if largest >= model.geometry.vocabulary:
        raise UsageError(f"{model.name}: its tokenizer gives id {largest}, its vocabulary has {model.geometry.vocabulary}")
    return Tokenized(labels, tuple(bad), bos, tokenizer_digest(model.folder))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load ``tokenizer.json``, or GPT-2's ``vocab.json`` and ``merges.txt``; offsets count a leading space in.

    Raises UsageError where there is neither or the files cannot be read.
    """
    if not has_tokenizer(folder):
        raise UsageError(f"{folder} has no tokenizer: wanted tokenizer.json, or vocab.json and merges.txt")
    try:
        return _read_tokenizer(folder)
    except Exception as error:  # tokenizers raises nothing more exact
        raise UsageError(f"{folder}: the tokenizer cannot be read ({error}): copy or save it again") from error


def _read_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id(END) is not None:
        tokenizer.add_special_tokens([END])  # as tokenizer.json has it: one token wherever it is written
    return tokenizer


def tokenizer_digest(folder: Path) -> str:
    """Return the SHA-256 of the tokenizer's files."""
    digest = hashlib.sha256()
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return digest.hexdigest()


def _bos(model: ModelFolder) -> int:
    token = model.config.get("bos_token_id")
    if not isinstance(token, int):
        raise UsageError(f"{model.name} has no BOS token (bos_token_id is {token!r}): leave --bos out")
    return token


def _problem(encoding: Encoding, prefix: int, model: ModelFolder) -> str | None:
    count, positions = len(encoding.ids) + prefix, model.geometry.positions
    if not encoding.ids:
        return "gives no token"
    return f"{count} tokens, but {model.name} has {positions} positions" if count > positions else None


class _Part(NamedTuple):
    """Some sentences' tokens, int32."""

    ids: IntArray
    spans: IntArray  # (token, 2)
    row_size: IntArray


def _part(encodings: list[Encoding], prefix: list[int]) -> _Part:
    lead = [(0, 0)] * len(prefix)
    ids = [token for encoding in encodings for token in (*prefix, *encoding.ids)]
    spans = [span for encoding in encodings for span in (*lead, *encoding.offsets)]
    sizes = [len(encoding.ids) + len(prefix) for encoding in encodings]
    return _Part(*(np.array(values, dtype=np.int32) for values in (ids, np.reshape(spans, (-1, 2)), sizes)))


def _labels(sentences: Sentences, kept: list[int], parts: list[_Part]) -> Labels:
    ids, spans, row_size = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
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
