"""Tokens: sentences through the model's own fast tokenizer, with the place of every token in its text.

Uses `tokenizers` alone, so a run that is stored already is recognised without importing torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actlas.pipeline.models import ModelFolder, has_tokenizer
from actlas.pipeline.sentences import BadLine, Sentences, named
from actlas.store.errors import InputError, UsageError
from actlas.store.labels import Labels

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

END = "<|endoftext|>"


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

    @property
    def text_digest(self) -> str:
        """SHA-256 of the texts and columns, recorded beside the identity."""
        digest = hashlib.sha256("\0".join(self.labels.text).encode())
        for name, column in sorted(self.labels.columns.items()):
            digest.update(f"\0{name}\0{column.dtype.kind}\0".encode() + "\0".join(map(str, column.tolist())).encode())
        return digest.hexdigest()


def tokenize(sentences: Sentences, model: ModelFolder, *, bos: bool = False, skip_bad: bool = False) -> Tokenized:
    """Return the tokens of all sentences, without padding; a BOS token in front only with ``bos``.

    Raises InputError naming the line of a sentence that has more tokens than the model has positions or none at all,
    unless ``skip_bad``; UsageError for a model without a fast tokenizer or, with ``bos``, without a BOS token.
    """
    tokenizer = load_tokenizer(model.folder)
    encodings = tokenizer.encode_batch(list(sentences.text), add_special_tokens=False)
    prefix = [_bos(model)] if bos else []
    problems = [_problem(encoding, len(prefix), model) for encoding in encodings]
    bad = [BadLine(line, problem) for line, problem in zip(sentences.line, problems, strict=True) if problem]
    if bad and not skip_bad:
        raise InputError(f"{named(sentences.source)}, line {bad[0].number}: {bad[0].reason} (--skip-bad leaves such lines out)")
    kept = [index for index, problem in enumerate(problems) if not problem]
    if not kept:
        raise InputError(f"{named(sentences.source)} holds no sentence that {model.name} can take: {bad[0].reason}")
    labels = _labels(sentences, kept, [encodings[index] for index in kept], prefix)
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


def _labels(sentences: Sentences, kept: list[int], encodings: list[Encoding], prefix: list[int]) -> Labels:
    lead = [(0, 0)] * len(prefix)
    ids = [token for encoding in encodings for token in (*prefix, *encoding.ids)]
    spans = np.array([span for encoding in encodings for span in (*lead, *encoding.offsets)], dtype=np.int32)
    row_size = np.array([len(encoding.ids) + len(prefix) for encoding in encodings], dtype=np.int32)
    token = {
        "sentence": np.repeat(np.arange(len(kept), dtype=np.int32), row_size),
        "position": np.concatenate([np.arange(size, dtype=np.int32) for size in row_size]),
        "token_id": np.array(ids, dtype=np.int32),
        "char_start": spans[:, 0].copy(),
        "char_end": spans[:, 1].copy(),
    }
    columns = {name: column[kept] for name, column in sentences.columns.items()}
    return Labels(token, row_size, tuple(sentences.text[index] for index in kept), columns)
