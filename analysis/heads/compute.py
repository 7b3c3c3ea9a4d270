"""Scores of attention heads, from their weights: pure, lazy, a unit of a layer at a time.

Each score is a mean over queries, and has beside it what uniform attention over the keys that a
query sees would score. After Elhage et al. 2021 and Olsson et al. 2022 (induction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.kept import refuse_kept
from actlas.analysis.data.sentences import Indices

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: score → what it is the mean of, over the queries for which there is such a key
SCORES: Mapping[str, str] = {
    "previous": "weight of the token before",
    "first": "weight of the first token of the sentence",
    "current": "weight of the token itself",
    "duplicate": "weight of earlier tokens with the same id",
    "induction": "weight behind earlier tokens with the same id",
    "entropy": "entropy, as a share of that of uniform attention",
    "distance": "distance in tokens",
}
QUANTITIES = 3  # of a score: the sum over queries, that of uniform attention, and how many queries


@dataclass(frozen=True)
class Labels:
    """What is known of the tokens of a run: of each its sentence, position, id, and groups.

    groups: name → which tokens are members, (group, token).
    """

    sentence: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    token_id: npt.NDArray[np.int32]
    groups: Mask


class _Hidden:
    """Labels, hidden from dask, which would look into a dataclass."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels


def head_scores(dataset: xr.Dataset, groups: Mapping[str, Indices] | None = None) -> xr.Dataset:
    """Return scores of every head; lazy, float64.

    What a query sees are the keys that some head of the layer gives weight to: those before it, of
    its window, or of a model that is not causal all.

    dataset: ``pattern`` (layer, token, head, key), stored or derived, with ``sentence``,
    ``position``, ``token_id`` on ``token``; every sentence whole. groups: name → indices along
    ``token``. Returns ``score``, ``uniform`` and ``excess``, their difference, (kind, layer, head);
    ``queries`` (kind, layer): those that see such a key. With groups, ``attention`` and
    ``attention_excess`` (from, to, layer, head): mean weight that queries of one group put on keys
    of another, and that without what uniform attention would put there.
    """
    refuse_kept(dataset, "scores of heads")
    pattern, named = dataset["pattern"], groups or {}
    members = np.zeros((len(named), dataset.sizes["token"]), dtype=bool)
    for row, indices in zip(members, named.values(), strict=True):
        row[indices] = True
    names = ("sentence", "position", "token_id")
    sentence, position, token_id = (dataset[name].values for name in names)
    labels = Labels(sentence, position, token_id, members)
    sums = _summed(pattern, labels)  # (layer, head, number)
    kinds, count = list(SCORES), QUANTITIES * len(SCORES)
    own = sums[..., :count].reshape(*sums.shape[:2], len(kinds), QUANTITIES)
    total, uniform, queries = (da.moveaxis(own[..., part], -1, 0) for part in range(QUANTITIES))
    dims = ("kind", "layer", "head")
    mean = _mean(total, queries)
    of_uniform = _mean(uniform, queries)
    result = xr.Dataset(
        {
            "score": (dims, mean),
            "uniform": (dims, of_uniform),
            "excess": (dims, mean - of_uniform),
            "queries": (("kind", "layer"), queries[:, :, 0].astype(np.int64)),
        },
        coords={"kind": kinds},
    )
    stored = "layer" in pattern.coords
    layers = pattern["layer"].values if stored else np.arange(pattern.sizes["layer"])
    result = result.assign_coords(layer=layers)
    return result.assign(_between(sums[..., count:], list(named)).data_vars) if named else result


def _mean(total: da.Array, queries: da.Array) -> da.Array:
    found: da.Array = da.where(queries > 0, total / da.maximum(queries, 1), np.nan)
    return found


def _between(sums: da.Array, names: list[str]) -> xr.Dataset:
    """Return weights between groups of (layer, head, from · to · quantity)."""
    shape = (*sums.shape[:2], len(names), len(names), QUANTITIES)
    own = da.moveaxis(sums.reshape(shape), (2, 3), (0, 1))  # (from, to, layer, head, quantity)
    mean, uniform = (_mean(own[..., part], own[..., 2]) for part in range(2))
    dims = ("from", "to", "layer", "head")
    found = {"attention": (dims, mean), "attention_excess": (dims, mean - uniform)}
    return xr.Dataset(found).assign_coords({"from": names, "to": names})


def _summed(pattern: xr.DataArray, labels: Labels) -> da.Array:
    """Return the sums of all quantities over the units, (layer, head, number)."""
    weights = pattern.data
    if not isinstance(weights, da.Array):
        weights = da.from_array(weights, chunks=(1, *weights.shape[1:]))
    groups = len(labels.groups)
    size = QUANTITIES * (len(SCORES) + groups**2)
    tokens = da.arange(weights.shape[1], chunks=(weights.chunks[1],)).reshape(1, -1, 1, 1)
    blocks = da.map_blocks(
        partial(_block, hidden=_Hidden(labels), size=size),
        tokens,
        weights.rechunk({2: -1, 3: -1}),
        chunks=(weights.chunks[0], (1,) * len(weights.chunks[1]), (weights.shape[2],), (size,)),
        dtype=np.float64,
        meta=np.empty((0, 0, 0, 0)),
    )
    found: da.Array = blocks.sum(1)
    return found


def _block(
    tokens: Indices, weights: npt.NDArray[np.float32], *, hidden: _Hidden, size: int
) -> Floats:
    """Return the sums of a block (layer, token, head, key): (layer, 1, head, number)."""
    labels, here = hidden.labels, tokens[0, :, 0, 0]
    found = np.zeros((len(weights), 1, weights.shape[2], size))
    for start, end in sentence_parts(labels.sentence[here]):
        for layer, rows in enumerate(weights):
            part = rows[start:end, :, : end - start].astype(np.float64)
            found[layer, 0] += _sentence(part, here[start:end], labels)
    return found


def sentence_parts(sentence: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return where each sentence of a block begins and ends."""
    starts = np.flatnonzero(np.diff(sentence, prepend=sentence[:1] - 1)).tolist()
    return list(zip(starts, [*starts[1:], len(sentence)], strict=True))


def masks(ids: npt.NDArray[np.integer]) -> dict[str, Mask]:
    """Return which keys each score is the weight of, (query, key), in a sentence of ``ids``."""
    count = len(ids)
    back = np.arange(count)[:, np.newaxis] - np.arange(count)  # (query, key)
    same = (ids[:, np.newaxis] == ids) & (back > 0)
    behind = np.zeros_like(same)
    behind[:, 1:] = same[:, :-1]  # key j is behind an earlier token of the query's id
    return {
        "previous": back == 1,
        "first": np.asarray((np.arange(count) == 0) & (back > 0)),
        "current": back == 0,
        "duplicate": same,
        "induction": behind & (back >= 0),
    }


def _sentence(weights: Floats, tokens: Indices, labels: Labels) -> Floats:
    """Return the sums of a sentence in a layer, (head, number); weights (query, head, key)."""
    back = np.arange(len(tokens))[:, np.newaxis] - np.arange(len(tokens))
    # by some head: within the window of the layer
    seen: Mask = np.asarray((weights > 0).any(axis=1))
    numbers = []
    for mask in masks(labels.token_id[tokens]).values():
        visible = np.logical_and(mask, seen)
        numbers.append(_masked(weights, visible, seen, np.asarray(visible.any(-1))))
    numbers += [_entropy(weights, seen), _distance(weights, back, seen)]
    members = labels.groups[:, tokens]
    for of_queries in members:
        for of_keys in members:
            numbers.append(_masked(weights, of_keys & seen, seen, of_queries))
    return np.concatenate(numbers, axis=-1)


def _masked(weights: Floats, mask: Mask, seen: Mask, queries: Mask) -> Floats:
    """Return the weight that ``queries`` put on the keys of ``mask`` (query, key), summed."""
    chosen = (mask & queries[:, np.newaxis]).astype(np.float64)
    total = np.einsum("qhk,qk->h", weights, chosen)
    uniform = (mask.sum(-1) / seen.sum(-1))[queries].sum()
    return _with(total, float(uniform), int(queries.sum()))


def _entropy(weights: Floats, seen: Mask) -> Floats:
    """Return the entropy over that of uniform attention, of queries that see two keys or more."""
    sizes = seen.sum(-1)
    chosen = sizes > 1
    logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    entropy = -(weights * logs).sum(-1)  # (query, head)
    shares = entropy[chosen] / np.log(sizes[chosen])[:, np.newaxis]
    return _with(shares.sum(0), float(chosen.sum()), int(chosen.sum()))


def _distance(weights: Floats, back: Indices, seen: Mask) -> Floats:
    far = np.abs(back).astype(np.float64)
    uniform = ((far * seen).sum(-1) / seen.sum(-1)).sum()
    return _with(np.einsum("qhk,qk->h", weights, far), float(uniform), len(back))


def _with(total: Floats, uniform: float, count: int) -> Floats:
    """Return (head, quantity)."""
    same = np.ones_like(total)
    found: Floats = np.stack([total, uniform * same, count * same], axis=-1)
    return found.reshape(len(total), QUANTITIES)
