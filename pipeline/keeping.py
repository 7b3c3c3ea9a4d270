"""Which tokens are kept of a run that keeps some already: selections of a run never cross.

Of two selections of a run one has all tokens of the other, so that any sites are read together by
the smaller one, and what is read is never rows of different tokens.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.store.errors import UsageError, quoted
from actlas.store.format.parts import WHOLE
from actlas.store.labels.labels import IntArray, KeptTokens
from actlas.store.reading.index import RunIndex
from actlas.store.runs.run import Run

UNKNOWN = -1  # whether a token is kept, in a unit without any file of the selection


def settled_tokens(run: Run, tokens: Tokenized, options: ExtractOptions) -> Tokenized:
    """Return the tokens, those marked that are to be kept in view of what ``run`` keeps.

    Where it keeps all of these and more, they are those that it keeps; variants whose options say
    nothing keep those of their baseline, the one that is asked for with ``whole``. Raises
    UsageError for tokens of which it keeps some and others.
    """
    if not run.index.has_selections:
        return tokens
    kept = tokens.labels.kept
    if kept is None:
        kept = _of_baseline(run, options) if options.whole and options.tokens is None else None
        return _marked(tokens, kept)
    index = run.index
    if kept.digest in index.selections.known:
        return tokens
    held = {digest: _mask(index, digest) for digest in index.selections.widest_first}
    for digest, theirs in reversed(held.items()):  # the narrowest that has all
        if not _more(kept.mask, theirs) and (theirs != UNKNOWN).all():
            return _marked(tokens, _selection(index, digest))
    for digest, theirs in held.items():
        if _more(theirs, kept.mask) and _more(kept.mask, theirs):
            stored = index.selections.known[digest]
            words = (f"--tokens {quoted(each)}" for each in (*stored.tokens, *kept.tokens))
            raise UsageError(
                f"run {run.name} keeps the tokens {quoted(stored.text)}, of which these are some "
                f"and others: {' '.join(words)} keeps both"
            )
    return tokens


def _more(ours: IntArray, theirs: IntArray) -> bool:
    """Whether ``ours`` has tokens that ``theirs`` lacks, in units of which both are known."""
    known = (ours != UNKNOWN) & (theirs != UNKNOWN)
    return bool((ours[known] > theirs[known]).any())


def _of_baseline(run: Run, options: ExtractOptions) -> KeptTokens | None:
    """Return what a baseline keeps, None where it has all tokens of what is asked for."""
    wanted = [site for site in options.sites if site not in options.whole]
    numbers = run.index.view(WHOLE).numbers
    if wanted and all(site in numbers for site in wanted):
        return None
    for digest in run.index.selections.widest_first:
        if (_mask(run.index, digest) != UNKNOWN).all():
            return _selection(run.index, digest)
    return None


def _selection(index: RunIndex, digest: str) -> KeptTokens:
    return KeptTokens(digest, index.selections.known[digest].tokens, _mask(index, digest))


def _mask(index: RunIndex, digest: str) -> IntArray:
    """Return which tokens of the run a selection has, 1 or 0; UNKNOWN in units that lack it."""
    masks = index.selections.masks(digest)
    parts = []
    for unit in index.units:
        none = np.full(unit.tokens, UNKNOWN, dtype=np.int32)
        parts.append(masks[unit.number].astype(np.int32) if unit.number in masks else none)
    return np.concatenate(parts)


def _marked(tokens: Tokenized, kept: KeptTokens | None) -> Tokenized:
    return replace(tokens, labels=replace(tokens.labels, kept=kept))
