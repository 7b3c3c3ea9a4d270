"""Weights of attention from queries and keys, and what follows from them, unit by unit; lazy.

A block is a layer of a unit, whose sentences are whole; each sentence is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from actlas.store.readouts.readout import HeadReadout

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rotary:
    """How heads are turned by their positions; fields as a run's record has them."""

    pairs: str
    frequencies: tuple[tuple[float, ...], ...]
    factor: tuple[float, ...]
    of_layer: tuple[int, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Rotary:
        """Build from a run's record."""
        frequencies = tuple(tuple(map(float, each)) for each in record["frequencies"])
        factor, of_layer = tuple(record["factor"]), tuple(record["of_layer"])
        return cls(str(record["pairs"]), frequencies, factor, of_layer)

    def turned(self, layer: int, rows: Floats) -> Floats:
        """Return queries or keys (token, head, d_head) of a whole sentence, turned."""
        kind = self.of_layer[layer]
        frequencies = np.array(self.frequencies[kind])
        angles = np.arange(len(rows))[:, np.newaxis] * frequencies  # (token, pair)
        waves = (self.factor[kind] * wave(angles)[:, np.newaxis] for wave in (np.cos, np.sin))
        cos, sin = (wave.astype(np.float32) for wave in waves)
        pairs, found = len(frequencies), rows.copy()
        halves = (slice(0, pairs), slice(pairs, 2 * pairs))
        neighbours = (slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2))
        one, other = halves if self.pairs == "halves" else neighbours
        found[..., one] = rows[..., one] * cos - rows[..., other] * sin
        found[..., other] = rows[..., other] * cos + rows[..., one] * sin
        return found


@dataclass(frozen=True)
class ScoreRule:
    """How scores become weights: by layer, and what a query sees."""

    scale: tuple[float, ...]
    cap: float | None
    window: tuple[int | None, ...]
    causal: bool
    keys: int  # tokens of the longest sentence
    rotary: Rotary | None = None  # None where queries and keys are as the scores have them

    @classmethod
    def of(
        cls, record: Mapping[str, Any], layers: int, causal: bool, keys: int, rotary: Rotary | None
    ) -> ScoreRule:
        """Build from a run's record; raises KeyError, TypeError or ValueError for a wrong one."""
        scale = tuple(map(float, record["scale"]))
        cap = None if record["cap"] is None else float(record["cap"])
        window = tuple(None if each is None else int(each) for each in record["window"])
        kinds = (0,) * layers if rotary is None else rotary.of_layer
        if {len(scale), len(window), len(kinds)} != {layers}:
            raise ValueError(f"not of {layers} layers")
        if rotary is not None and not all(kind in range(len(rotary.factor)) for kind in kinds):
            raise ValueError("a kind of rotary positions that is not there")
        return cls(scale, cap, window, causal, keys, rotary)

    def weights(self, layer: int, q: Floats, k: Floats) -> Floats:
        """Return the weights (head, query, key) of one sentence.

        q: (token, head, d_head); k: (token, kv_head, d_head): a key head is shared by as many query
        heads, one after the other.
        """
        if self.rotary is not None:
            q, k = self.rotary.turned(layer, q), self.rotary.turned(layer, k)
        tokens, heads, width = q.shape
        grouped = q.reshape(tokens, k.shape[1], -1, width).transpose(1, 2, 0, 3)
        scores = grouped @ k.transpose(1, 2, 0)[:, np.newaxis]  # (kv_head, group, query, key)
        scores = scores.reshape(heads, tokens, tokens) * np.float32(self.scale[layer])
        if self.cap is not None:
            scores = np.tanh(scores / np.float32(self.cap)) * np.float32(self.cap)
        scores = np.where(self._seen(layer, tokens), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        found: Floats = weights / weights.sum(-1, keepdims=True)
        return found

    def _seen(self, layer: int, tokens: int) -> npt.NDArray[np.bool_]:
        """Return which keys each query sees, (query, key)."""
        back = np.arange(tokens)[:, np.newaxis] - np.arange(tokens)
        window = self.window[layer]
        seen = back >= 0 if self.causal else np.ones(back.shape, dtype=bool)
        return seen if window is None else seen & (np.abs(back) < window)


def along_tokens(sentence: npt.NDArray[np.int32], like: da.Array) -> da.Array:
    """Return the sentence of each token, cut as ``like`` is: (1, token, 1, 1)."""
    numbers = sentence.reshape(1, -1, 1, 1)
    found: da.Array = da.from_array(numbers, chunks=(1, like.chunks[1], 1, 1))
    return found


def patterns(
    q: da.Array, k: da.Array, sentence: npt.NDArray[np.int32], rule: ScoreRule
) -> da.Array:
    """Return weights of attention, (layer, token, head, key), of q and k (layer, token, …)."""
    found: da.Array = da.map_blocks(
        _pattern_block,
        _layers(q),
        along_tokens(sentence, q),
        q,
        k,
        rule=rule,
        chunks=(*q.chunks[:3], (rule.keys,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
    return found


def _layers(like: da.Array) -> da.Array:
    """Return the number of each layer, (layer, 1, 1, 1)."""
    found: da.Array = da.arange(like.shape[0], chunks=1).reshape(-1, 1, 1, 1)
    return found


def _pattern_block(
    layers: npt.NDArray[np.int64],
    sentence: npt.NDArray[np.int32],
    q: Floats,
    k: Floats,
    *,
    rule: ScoreRule,
) -> Floats:
    found = np.zeros((*q.shape[:3], rule.keys), np.float32)  # (layer, token, head, key)
    for start, end in _spans(sentence[0, :, 0, 0]):
        for place, layer in enumerate(layers[:, 0, 0, 0].tolist()):
            weights = rule.weights(layer, q[place, start:end], k[place, start:end])
            found[place, start:end, :, : end - start] = weights.transpose(1, 0, 2)
    return found


def weighted(pattern: da.Array, v: da.Array, sentence: npt.NDArray[np.int32]) -> da.Array:
    """Return z (layer, token, head, d_head)."""
    width = v.shape[-1]
    found: da.Array = da.map_blocks(
        _weighted_block,
        along_tokens(sentence, v),
        pattern.rechunk({1: v.chunks[1]}),
        v,
        chunks=(*pattern.chunks[:3], (width,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
    return found


def _weighted_block(sentence: npt.NDArray[np.int32], pattern: Floats, v: Floats) -> Floats:
    heads, kv_heads = pattern.shape[2], v.shape[2]
    found = np.empty((*pattern.shape[:3], v.shape[-1]), np.float32)
    for start, end in _spans(sentence[0, :, 0, 0]):
        # (layer, kv_head, group · query, key) · (layer, kv_head, key, d_head)
        size = end - start
        weights = pattern[:, start:end, :, :size].transpose(0, 2, 1, 3)
        weights = weights.reshape(len(pattern), kv_heads, heads // kv_heads * size, size)
        values = weights @ v[:, start:end].transpose(0, 2, 1, 3)
        values = values.reshape(len(pattern), heads, size, -1)
        found[:, start:end] = values.transpose(0, 2, 1, 3)
    return found


def _spans(sentence: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return where each sentence begins and ends."""
    starts = np.flatnonzero(np.diff(sentence, prepend=sentence[:1] - 1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(sentence)], strict=True))


class _Matrices:
    """Output matrices; hides them from dask."""

    def __init__(self, heads: HeadReadout) -> None:
        self.heads = heads


def head_outputs(z: da.Array, heads: HeadReadout) -> da.Array:
    """Return z · w_o, (layer, token, head, d_model)."""
    width = heads.record.arrays["w_o"].shape[-1]
    found: da.Array = da.map_blocks(
        _head_output_block,
        _layers(z),
        z,
        matrices=_Matrices(heads),
        chunks=(*z.chunks[:3], (width,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0, 0), np.float32),
    )
    return found


def _head_output_block(layers: npt.NDArray[np.int64], z: Floats, *, matrices: _Matrices) -> Floats:
    found = [
        np.einsum("thd,hdm->thm", rows, matrices.heads.w_o(layer), optimize=True)
        for layer, rows in zip(layers[:, 0, 0, 0].tolist(), z, strict=True)
    ]
    return np.stack(found)
