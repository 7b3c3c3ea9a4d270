"""A word and the tokens around it, as an export keeps them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.data.kept import with_places
from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.tokens import Target
from actlas.analysis.data.words import TargetError, find_words, nowhere
from actlas.store.errors import quoted


def context_window(view: xr.Dataset, target: Target, context: int | None) -> Indices:
    """Return the tokens at most ``context`` away from any of a word, in their sentence.

    They ascend, and are those that have rows. Without ``context`` the whole sentence is returned.

    view, and what is raised where the word occurs nowhere: as in ``select_tokens``.
    """
    labels, places = with_places(view)
    words = find_words(labels, target.word, target.case)
    kept, positions = np.zeros(labels.sizes["token"], dtype=bool), labels["position"].values
    for sentence, found in words.found.items():
        first, end = words.starts[sentence : sentence + 2]
        here = positions[first:end]
        for word in found:
            ends = positions[word[[0, -1]]]
            near = (
                (here >= ends[0] - context) & (here <= ends[1] + context)
                if context is not None
                else True
            )
            kept[first:end] |= near
    if not kept.any():
        raise nowhere(labels, target.word)
    if places is None:
        return np.flatnonzero(kept)
    there = places[kept & (places >= 0)]
    if not len(there):
        raise TargetError(f"no activations are kept of {quoted(target.word)} and what is around it")
    return there
