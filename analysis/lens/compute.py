"""The logit lens: every depth of the residual stream read as if it were the last.

After nostalgebraist (2020). Each depth is normed by its own statistics. One pass over chunks of
tokens: all depths of a chunk, the last first, so that beside the unembedding there are a few arrays
(chunk, vocabulary).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.lens.logits import Floats, Rows, logits
from actlas.store.errors import UsageError
from actlas.store.readouts.readout import Readout

CHOICES = 5
NUMBERS = ("nll", "rank", "entropy", "kl")  # of a row, before its choices and answers
CHUNK_VALUES = 1 << 22  # of an array (chunk, vocabulary): 16 MB
MOST_ROWS = 256  # of a chunk: more make no product faster
WORD = 20  # characters of the word that a result names


@dataclass(frozen=True)
class Asked:
    """What a lens is asked beside its numbers: ids of answers, and whether a token has a next."""

    answers: tuple[int, ...] = ()
    choices: int = CHOICES

    @property
    def size(self) -> int:
        """How many numbers a row has."""
        return len(NUMBERS) + 2 * self.choices + len(self.answers)


class _Stream:
    """Rows of the residual stream, read when asked for; hides the lazy array from dask."""

    def __init__(self, resid: xr.DataArray) -> None:
        self._resid = resid.drop_vars(list(resid.coords)).transpose("depth", "token", "d_model")
        self.depths = resid.sizes["depth"]

    def rows(self, depth: int, tokens: Indices) -> Rows:
        """Return the rows (token, d_model) of a depth."""
        part = self._resid.isel(depth=depth, token=tokens)
        found: Rows = part.compute(scheduler="synchronous").values.astype(np.float32, copy=False)
        return found


def lens(
    dataset: xr.Dataset,
    readout: Readout,
    tokens: Indices | None = None,
    answers: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Return what the model would say at every depth; lazy, float64.

    dataset: ``resid`` (depth, token, d_model), and on ``token`` ``sentence``, ``position``,
    ``token_id``. tokens: indices along ``token``, ascending; all where None. answers: word → id.

    On (depth, token): ``nll`` (nats) and ``rank`` (0: the most likely) of the token itself,
    predicted from the one before it, NaN for the first of a sentence, so that the last depth is the
    stored ``nll``; of what a token predicts, ``entropy`` and ``kl`` (from the last depth to this
    one), in nats; ``top_id`` and ``top_probability`` (…, choice), ``top_word``; ``answer_logit``
    (…, answer). Of a model of masked tokens the tokens are those that are masked, each predicts
    itself, and there are no ``nll`` and ``rank``.
    """
    labels = {name: dataset[name].values for name in ("sentence", "position", "token_id")}
    chosen = np.arange(dataset.sizes["token"]) if tokens is None else tokens
    if readout.masked:
        chosen = chosen[labels["token_id"][chosen] == readout.mask]
        if not len(chosen):
            raise UsageError(f"no token is {_mask_name(readout)}: its model names masked tokens")
    answers = answers or {}
    rows = chosen if readout.masked else _with_those_before(chosen, labels)
    following = following_ids(rows, labels)
    stream = _Stream(dataset["resid"])
    found = _numbers(stream, readout, rows, following, Asked(tuple(answers.values())))
    result = _named(found, rows, chosen, labels, readout, list(answers))
    stored = "depth" in dataset.coords
    depths = dataset["depth"].values if stored else np.arange(stream.depths)
    return result.assign_coords(depth=depths)


def flops(tokens: int, depths: int, readout: Readout) -> float:
    """Return the floating-point operations of a lens: those of its products with the unembedding.

    tokens: that are read.
    """
    vocabulary, width = readout.record.arrays["unembed"].shape
    return 2.0 * tokens * depths * vocabulary * width


def _mask_name(readout: Readout) -> str:
    mask = readout.facts.get("mask")
    return f"{mask[0]} (id {mask[1]})" if mask else "masked: the tokenizer has no mask token"


def _with_those_before(chosen: Indices, labels: Mapping[str, npt.NDArray[Any]]) -> Indices:
    """Return the tokens and, of each, the one before, which predicts it."""
    before = chosen[labels["position"][chosen] > 0] - 1
    before = before[before >= 0]
    return np.union1d(chosen, before)


def following_ids(rows: Indices, labels: Mapping[str, npt.NDArray[Any]]) -> Indices:
    """Return the id of the token that follows each row in its sentence, −1 where none does."""
    sentence, position, ids = labels["sentence"], labels["position"], labels["token_id"]
    after = np.minimum(rows + 1, len(ids) - 1)
    follows = (sentence[after] == sentence[rows]) & (position[after] == position[rows] + 1)
    return np.where(follows, ids[after], -1).astype(np.int64)


def _numbers(
    stream: _Stream, readout: Readout, rows: Indices, following: Indices, asked: Asked
) -> da.Array:
    """Return the numbers of every row, (depth, row, number)."""
    vocabulary = readout.record.arrays["unembed"].shape[0]
    step = min(MOST_ROWS, max(1, CHUNK_VALUES // vocabulary))
    places = np.stack([rows, following])  # (row and what follows it, row)
    chunked = da.from_array(places, chunks=(2, step))
    kernel = partial(_chunk, stream=stream, readout=readout, asked=asked)
    found: da.Array = da.map_blocks(
        kernel,
        chunked,
        chunks=((stream.depths,), chunked.chunks[1], (asked.size,)),
        drop_axis=0,
        new_axis=[0, 2],
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
    )
    return found


def _chunk(places: Indices, *, stream: _Stream, readout: Readout, asked: Asked) -> Floats:
    """Return (depth, row, number) of rows; the last depth is what the others are compared with."""
    rows, following = places
    found = np.empty((stream.depths, len(rows), asked.size))
    last: tuple[Rows, Floats, Rows] | None = None
    for depth in reversed(range(stream.depths)):
        each = logits(readout, stream.rows(depth, rows))  # (row, vocabulary)
        total, weights = _normaliser(each)
        if last is None:
            last = each, total, weights
        found[depth, :, : len(NUMBERS)] = _row_numbers(each, total, weights, following, last).T
        found[depth, :, len(NUMBERS) :] = _choices(each, total, asked)
    return found


def _normaliser(each: Rows) -> tuple[Floats, Rows]:
    """Return ln Σ exp of logits, (row,), and their probabilities, (row, vocabulary) float32."""
    most = each.max(-1, keepdims=True)
    weights = np.exp(each - most)
    total = weights.sum(-1, dtype=np.float64)
    weights /= total[:, np.newaxis].astype(np.float32)
    return most[:, 0] + np.log(total), weights


def _row_numbers(
    each: Rows,
    total: Floats,
    weights: Rows,
    following: Indices,
    last: tuple[Rows, Floats, Rows],
) -> Floats:
    """Return NUMBERS (number, row)."""
    rows = np.arange(len(each))
    chosen = each[rows, following]  # of −1 the last of the vocabulary, which is left out below
    rank = (each > chosen[:, np.newaxis]).sum(-1).astype(np.float64)
    nll = np.where(following >= 0, total - chosen, np.nan)
    entropy = total - _weighted(weights, each)
    final, final_total, final_weights = last
    kl = np.zeros(len(each))
    if final is not each:
        kl = _weighted(final_weights, final - each) - final_total + total
    return np.stack([nll, np.where(following >= 0, rank, np.nan), entropy, kl])


def _weighted(weights: Rows, values: Rows) -> Floats:
    """Return Σ weight · value of each row, summed in float64."""
    found: Floats = (weights * values).sum(-1, dtype=np.float64)
    return found


def _choices(each: Rows, total: Floats, asked: Asked) -> Floats:
    """Return ids and probabilities of the most likely tokens and logits of answers, by row."""
    count = min(asked.choices, each.shape[1])
    top = np.argpartition(each, -count, axis=-1)[:, -count:]
    order = np.argsort(-np.take_along_axis(each, top, -1), axis=-1, kind="stable")
    top = np.take_along_axis(top, order, -1)
    likely = np.exp(np.take_along_axis(each, top, -1) - total[:, np.newaxis])
    missing = np.full((len(each), asked.choices - count), np.nan)
    parts = (top, missing, likely, missing, each[:, list(asked.answers)])
    return np.concatenate(parts, axis=-1, dtype=np.float64)


def _named(
    found: da.Array,
    rows: Indices,
    chosen: Indices,
    labels: Mapping[str, npt.NDArray[Any]],
    readout: Readout,
    answers: Sequence[str],
) -> xr.Dataset:
    """Return the numbers by name, on the chosen tokens."""
    here = found[:, np.searchsorted(rows, chosen)]
    dims, first = ("depth", "token"), len(NUMBERS)
    variables: dict[str, Any] = {}
    if not readout.masked:
        before, known = _places_before(rows, chosen, labels)
        for number, name in enumerate(NUMBERS[:2]):
            values = da.where(known[np.newaxis], found[:, before, number], np.nan)
            variables[name] = (dims, values)
    variables |= {name: (dims, here[..., 2 + number]) for number, name in enumerate(NUMBERS[2:])}
    top = here[..., first : first + CHOICES]
    variables["top_id"] = ((*dims, "choice"), da.where(da.isnan(top), -1, top).astype(np.int64))
    likely = here[..., first + CHOICES : first + 2 * CHOICES]
    variables["top_probability"] = ((*dims, "choice"), likely)
    words = da.map_blocks(_words, top[..., 0], words=_Words(readout), dtype=f"<U{WORD}")
    variables["top_word"] = (dims, words)
    if answers:
        values = here[..., first + 2 * CHOICES :]
        variables["answer_logit"] = ((*dims, "answer"), values)
    coords = {name: ("token", values[chosen]) for name, values in labels.items()}
    coords["index"] = ("token", chosen)
    result = xr.Dataset(variables, coords)
    return result.assign_coords(answer=answers) if answers else result


def _places_before(
    rows: Indices, chosen: Indices, labels: Mapping[str, npt.NDArray[Any]]
) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Return the place in ``rows`` of the token before each chosen one, and whether there is one.

    A part of a sentence, as in an export, may begin without it.
    """
    before = np.maximum(chosen - 1, 0)
    follows = labels["position"][chosen] == labels["position"][before] + 1
    same = labels["sentence"][before] == labels["sentence"][chosen]
    known = (chosen > 0) & same & follows
    return np.where(known, np.searchsorted(rows, before), 0), known


class _Words:
    """The words of a readout; hides them from dask, which would look into them."""

    def __init__(self, readout: Readout) -> None:
        self.readout = readout


def _words(ids: Floats, *, words: _Words) -> npt.NDArray[np.str_]:
    known = {each: words.readout.words[int(each)][:WORD] for each in np.unique(ids).tolist()}
    flat = [known[each] for each in ids.ravel().tolist()]
    return np.array(flat, dtype=f"<U{WORD}").reshape(ids.shape)
