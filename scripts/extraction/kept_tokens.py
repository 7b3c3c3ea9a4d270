"""Which tokens an extraction keeps, as users write it: ``last``, positions, or a group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from actlas.analysis.groups.grammar import Group, parse_conditions, parse_group, with_words
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.store.errors import UsageError, quoted
from actlas.store.format.digest import rows_checksum
from actlas.store.format.parts import LONGEST_TOKENS
from actlas.store.labels.labels import KeptTokens
from actlas.store.reading.index import ALL

LAST = "last"
NAME = "kept"  # of the group that is meant where a condition stands alone
EXPECTED = f"expected {LAST}, {ALL}, positions such as 0,1,-1, or a group such as her@-1"
_POSITION = r"-?\d{1,9}(?:-{1,2}\d{1,9})?"
_POSITIONS = re.compile(rf"\s*{_POSITION}(?:\s*[,|]\s*{_POSITION})*\s*")


def with_kept(tokens: Tokenized, texts: Sequence[str] | None) -> Tokenized:
    """Return the tokens, those marked that ``texts`` ask for: any of them is enough.

    Raises UsageError for what is no selection, or selects nothing; where all tokens are asked for
    none is marked.
    """
    every = [_is(ALL, text) for text in texts or ()]
    if not texts or (every[0] and len(every) == 1):
        return tokens
    if any(every):
        raise UsageError(f"--tokens {ALL} is every token: leave the others out")
    from actlas.analysis.groups.evaluation import TokenTable
    from actlas.store.reading.view import label_view

    written = tokens.generated
    prompts = np.array(written.prompt_tokens, dtype=np.int32) if written else None
    table = TokenTable(label_view(tokens.labels, tokens.special, prompts))
    kept = np.zeros(tokens.labels.tokens, dtype=np.int32)
    for text in texts:
        group = _group(text)
        try:
            found = table.matches(group)
        except UsageError as error:
            raise UsageError(f"--tokens {quoted(text)}: {error}") from error
        for first, last in zip(found.first.tolist(), found.last.tolist(), strict=True):
            kept[first : last + 1] = 1
    if kept.all():
        return tokens
    digest = rows_checksum(np.flatnonzero(kept).astype("<i8"))
    marked = KeptTokens(digest, tuple(texts), kept)
    return replace(tokens, labels=replace(tokens.labels, kept=marked))


def _is(word: str, text: str) -> bool:
    return text.strip().casefold() == word


def _refuse_joined(text: str) -> None:
    """Raise UsageError for ``last|her`` and the like, where last would be taken for a word."""
    for condition in text.rpartition("=")[2].split(","):
        for part in () if ":" in condition else condition.split("|"):
            word = part.partition("@")[0].strip(" !").casefold()
            if word in (LAST, ALL):
                raise UsageError(
                    f"{word} stands alone: give --tokens several times, position:-1 in a group, or "
                    f"word:{word} for the word"
                )


def _group(text: str) -> Group:
    """Return the group that ``text`` means; raises UsageError for what is none."""
    if not text.isprintable() or len(text) > LONGEST_TOKENS:
        raise UsageError(
            f"--tokens {quoted(text)}: expected printable characters, {LONGEST_TOKENS} at most"
        )
    try:
        if _is(LAST, text):
            return parse_conditions(NAME, "position:-1")
        if _POSITIONS.fullmatch(text):
            return parse_conditions(NAME, f"position:{text.replace(',', '|')}")
        _refuse_joined(text)
        name, equals, _ = text.partition("=")
        if equals and name.strip().isidentifier():
            return with_words(parse_group(text))
        return with_words(parse_conditions(NAME, text))
    except UsageError as error:
        raise UsageError(f"--tokens {quoted(text)}: {error} ({EXPECTED})") from error
