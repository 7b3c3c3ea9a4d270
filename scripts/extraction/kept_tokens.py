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
from actlas.store.labels.labels import KeptTokens
from actlas.store.reading.index import ALL

LAST = "last"
NAME = "kept"  # of the group that is meant where a condition stands alone
EXPECTED = f"expected {LAST}, {ALL}, positions such as 0,1,-1, or a group such as her@-1"
_POSITION = r"-?\d{1,9}(?:-{1,2}\d{1,9})?"
_POSITIONS = re.compile(rf"\s*{_POSITION}(?:\s*,\s*{_POSITION})*\s*")


def with_kept(tokens: Tokenized, texts: Sequence[str] | None) -> Tokenized:
    """Return the tokens, those marked that ``texts`` ask for: any of them is enough.

    Raises UsageError for what is no selection, or selects nothing; where all tokens are asked for
    none is marked.
    """
    if not texts or tuple(texts) == (ALL,):
        return tokens
    if ALL in texts:
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


def _group(text: str) -> Group:
    """Return the group that ``text`` means; raises UsageError for what is none."""
    try:
        if text.strip() == LAST:
            return parse_conditions(NAME, "position:-1")
        if _POSITIONS.fullmatch(text):
            return parse_conditions(NAME, f"position:{text.replace(',', '|')}")
        name, equals, _ = text.partition("=")
        if equals and name.strip().isidentifier():
            return with_words(parse_group(text))
        return with_words(parse_conditions(NAME, text))
    except UsageError as error:
        raise UsageError(f"--tokens {quoted(text)}: {error} ({EXPECTED})") from error
