"""Scores, masks and weights of attention, for queries of H heads and keys of K."""

import numpy as np

from tests.oracle import softmax


def causal(tokens, window=None):
    """Return which keys each query sees (query, key): the last ``window``, itself among them."""
    back = np.arange(tokens)[:, None] - np.arange(tokens)
    return (back >= 0) & (back < window) if window else back >= 0


def attend(note, layer, q, k, v, seen, scale, cap=None):
    """Return z (token, head, d_head); q: (token, head, d_head), k and v: (token, kv_head, d_head).

    Key head j serves the query heads j·g … j·g + g − 1. seen: (query, key) of bool; cap: the bound
    of the scores, by tanh.
    """
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    if cap:
        scores = cap * np.tanh(scores / cap)
    weights = softmax(np.where(seen, scores, -np.inf))
    pattern = note("pattern", layer, weights.transpose(1, 0, 2))  # (query, head, key)
    return note("z", layer, np.einsum("qhk,khd->qhd", pattern, v))
