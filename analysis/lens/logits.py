"""Rows of the residual stream into logits, by a readout: plain NumPy.

Statistics of a row are taken in float64, products of matrices in float32, as models do.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from actlas.store.readouts.readout import Readout

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_ERF = np.vectorize(math.erf, otypes=[np.float64])
TANH = math.sqrt(2 / math.pi)


def logits(readout: Readout, rows: Rows) -> Rows:
    """Return the logits (row, vocabulary) of rows of the residual stream (row, d_model).

    The norm is that of the rows themselves; of a head of masked tokens, all of the head.
    """
    found = normed(readout, rows) @ readout.unembed.T  # (row, vocabulary)
    if readout.bias is not None:
        found += readout.bias
    if readout.scale != 1:
        found *= np.float32(readout.scale)
    if readout.cap is not None:
        cap = np.float32(readout.cap)
        found = np.tanh(found / cap) * cap
    return found


def normed(readout: Readout, rows: Rows) -> Rows:
    """Return rows (row, d_model) after the final norm, float32."""
    if readout.masked:
        rows = _activated(
            rows @ readout.array("transform").T + readout.array("transform_bias"), readout
        )
    wide = rows.astype(np.float64)
    if readout.centred:
        wide -= wide.mean(-1, keepdims=True)
    wide /= deviation(readout, wide)[..., np.newaxis]
    wide *= readout.gain
    if readout.shift is not None:
        wide += readout.shift
    return wide.astype(np.float32)


def deviation(readout: Readout, rows: npt.NDArray[np.floating]) -> Floats:
    """Return what the final norm divides rows (…, d_model) by, (…): √(variance or square + ε)."""
    wide = rows.astype(np.float64)
    if readout.centred:
        wide = wide - wide.mean(-1, keepdims=True)
    found: Floats = np.sqrt(np.square(wide).mean(-1) + readout.epsilon)
    return found


def _activated(rows: Rows, readout: Readout) -> Rows:
    if readout.activation == "relu":
        return np.maximum(rows, 0)
    wide = rows.astype(np.float64)
    if readout.activation == "gelu":
        share = 1 + _ERF(wide / math.sqrt(2))
    else:
        share = 1 + np.tanh(TANH * (wide + 0.044715 * wide**3))
    found: Rows = (0.5 * wide * share).astype(np.float32)
    return found
