"""The words that a lens finds, as tables show them."""

from __future__ import annotations

from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.declaring.shown import Table, cell
from actlas.store.readouts.readout import Readout
from actlas.store.readouts.words import Words

MOST_TOKENS = 12  # of a sentence in a terminal
LONGEST = 40  # characters of a token
MOST_SENTENCES, MOST_OF_SENTENCE = 8, 28  # whose words are kept for the chart
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


def with_words(result: xr.Dataset, readout: Readout, sentence: int) -> xr.Dataset:
    """Return ``result`` with the words of some sentences: what was read, and what comes next.

    result: of ``actlas.analysis.lens.compute.lens``. sentence: the one that is drawn, which is the
    first of them where it is there. Adds, lazily, ``read_word`` (grid), ``grid_word`` (depth, grid,
    choice), the most likely first; ``grid`` has the places along ``token``.
    """
    numbers = result["sentence"].values
    found = list(dict.fromkeys(numbers.tolist()))
    shown = [*([sentence] if sentence in found else []), *(n for n in found if n != sentence)]
    chosen = [np.flatnonzero(numbers == n)[:MOST_OF_SENTENCE] for n in shown[:MOST_SENTENCES]]
    places = np.concatenate(chosen) if chosen else np.arange(0)
    here, words = result["top_id"].isel(token=places), _Hidden(readout.words)
    read = _words(here["token_id"].values, words=words)
    named = da.map_blocks(partial(_words, words=words), da.asarray(here.data), dtype=f"<U{LONGEST}")
    variables = {"read_word": ("grid", read), "grid_word": (("depth", "grid", "choice"), named)}
    return result.assign(variables).assign_coords(grid=places)


class _Hidden:
    """The words of a vocabulary; hides them from dask, which would look into them."""

    def __init__(self, words: Words) -> None:
        self.words = words


def _words(ids: npt.NDArray[Any], *, words: _Hidden) -> npt.NDArray[np.str_]:
    """Return the words of ids, as they are shown; of a negative id, which is none, nothing."""
    found = {int(each): "" if each < 0 else words.words[int(each)] for each in np.unique(ids)}
    flat = [visible(found[each][:LONGEST]) for each in map(int, ids.ravel())]
    return np.array(flat, dtype=f"<U{LONGEST}").reshape(ids.shape)
