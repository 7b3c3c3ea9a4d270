"""The words that a lens finds, as tables show them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.shown import Table, cell
from actlas.store.readouts.words import Words

MOST_TOKENS = 12  # of a sentence in a terminal
MARKS = {"\n": "⏎", "\t": "⇥"}


def visible(word: str) -> str:
    """Return a token as a table shows it: no line breaks, and a mark for one of spaces alone."""
    for character, mark in MARKS.items():
        word = word.replace(character, mark)
    return word if word.strip() else word.replace(" ", "␣")


def sentence_table(result: xr.Dataset, words: Words, sentence: int | None) -> Table | None:
    """Return the first choices of every depth for the first tokens of a sentence."""
    if sentence is None:
        return None
    places = np.flatnonzero(result["sentence"].values == sentence)[:MOST_TOKENS]
    here = result.isel(token=places)
    read = [visible(word) for word in words.of(here["token_id"].values)]
    rows = []
    for depth in result["depth"].values[::-1]:
        top = here["top_word"].sel(depth=depth).values
        rows.append((cell(depth, "d"), *(cell(visible(str(word))) for word in top)))
    return Table.of(f"First choice after each token of sentence {sentence}", ("depth", *read), rows)
