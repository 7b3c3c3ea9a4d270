"""Tokens that are looked at apart from all others, and are never a control.

The first token of a sequence carries activations an order of magnitude larger. The special tokens
around a sentence, such as BOS, [CLS] and [SEP], are the same in all, and models park attention on
them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.group_names import FIRST, LATER, SPECIAL

Mask = npt.NDArray[np.bool_]

FIRST_POSITION = 0


def first_tokens(labels: xr.Dataset | xr.DataArray) -> Mask:
    """Return which tokens are the first of their sentence, special or not: (token,).

    labels: with ``position`` on ``token``.
    """
    first: Mask = labels["position"].values == FIRST_POSITION
    return first


def special_tokens(labels: xr.Dataset | xr.DataArray) -> Mask:
    """Return which tokens behind the first are special: (token,).

    labels: with ``position`` on ``token``, and ``special`` where there are such tokens.
    """
    if "special" not in labels.coords:
        return np.zeros(labels.sizes["token"], dtype=np.bool_)
    special: Mask = labels["special"].values.astype(np.bool_)
    return special & ~first_tokens(labels)


def later_tokens(labels: xr.Dataset | xr.DataArray) -> Mask:
    """Return which tokens are neither the first of their sentence nor special: (token,)."""
    return ~(first_tokens(labels) | special_tokens(labels))


def tokens_apart(labels: xr.Dataset | xr.DataArray) -> dict[str, Mask]:
    """Return which tokens are first, later and, where there are any, special ones: (token,)."""
    apart = {FIRST: first_tokens(labels), LATER: later_tokens(labels)}
    special = special_tokens(labels)
    return {**apart, SPECIAL: special} if special.any() else apart
