"""Which tokens are asked for an answer, and which answers: the words and columns of the options."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.attribution.compute import Answers
from actlas.analysis.data.apart import special_tokens
from actlas.analysis.data.kept import with_places
from actlas.analysis.data.sentences import Indices, sentences_of
from actlas.analysis.groups.evaluation import columns_of
from actlas.analysis.lens.compute import following_ids
from actlas.store.errors import UsageError, quoted, unknown
from actlas.store.readouts.readout import Readout, single_answer

BEFORE, EITHER, LAST = "before", "either", "last"


def word_answers(
    dataset: xr.Dataset, readout: Readout, answer: str, against: str | None, at: str
) -> Answers:
    """Return the answers of the tokens that are looked at.

    at: ``before`` the answer; ``either``, before one of the two, where the one that follows is the
    answer and the other what it is compared with; ``last`` of each sentence. Raises UsageError for
    a word that is no token, and where no token stands before one.
    """
    number = single_answer(readout, answer)
    other = -1 if against is None else single_answer(readout, against)
    if number == other:
        raise UsageError(f"{quoted(answer)} and {quoted(against)} are one token: give two")
    view, (dataset, places) = dataset, with_places(dataset)
    tokens = last_tokens(dataset)
    ids = np.full(len(tokens), number)
    if at != LAST:
        labels = {name: dataset[name].values for name in ("sentence", "position", "token_id")}
        following = following_ids(np.arange(dataset.sizes["token"]), labels)
        wanted = [number, other] if at == EITHER else [number]
        tokens = np.flatnonzero(np.isin(following, wanted) & (following >= 0))
        ids = following[tokens]
    if len(tokens) and places is not None:
        there = _with_rows(view, tokens, places)
        tokens, ids = places[tokens[there]], ids[there]
    if not len(tokens):
        raise UsageError(
            f"no token is followed by {quoted(readout.words[number])}: give --at last for the "
            "last token of each sentence"
        )
    return Answers(tokens, ids, np.where(ids == number, other, number))


def column_answers(
    dataset: xr.Dataset, readout: Readout, answer: str, against: str | None
) -> Answers:
    """Return the answers that columns name, each of its sentence, at the last token of each."""
    view, (dataset, places) = dataset, with_places(dataset)
    tokens = last_tokens(dataset)
    if places is not None:
        tokens = places[tokens[_with_rows(view, tokens, places)]]
        dataset = view
    ids = _ids(dataset, readout, answer, tokens)
    others = np.full(len(tokens), -1)
    if against is not None:
        others = _ids(dataset, readout, against, tokens)
    return Answers(tokens, ids, others)


def _with_rows(view: xr.Dataset, tokens: Indices, places: Indices) -> npt.NDArray[np.bool_]:
    """Return which of ``tokens`` have rows in a view; raises UsageError where none has."""
    there = np.asarray(places[tokens] >= 0)
    if not there.any():
        kept = quoted(str(view.attrs.get("tokens", "some")))
        raise UsageError(
            f"no activations are kept of the {len(tokens)} tokens that are asked, only of {kept}: "
            "`actlas extract … --tokens` adds them"
        )
    return there


def last_tokens(dataset: xr.Dataset) -> Indices:
    """Return the last token of each sentence that is not special."""
    plain, found = ~special_tokens(dataset), []
    starts = sentences_of(dataset).starts
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        found += (start + np.flatnonzero(plain[start:end]))[-1:].tolist()
    return np.array(found, dtype=np.int64)


def _ids(dataset: xr.Dataset, readout: Readout, column: str, tokens: Indices) -> Indices:
    columns = columns_of(dataset)
    if column not in columns:
        raise unknown("label column", column, columns)
    words = [str(word) for word in dataset[column].values[tokens]]
    known: Mapping[str, int] = {word: single_answer(readout, word) for word in set(words)}
    return np.array([known[word] for word in words], dtype=np.int64)
