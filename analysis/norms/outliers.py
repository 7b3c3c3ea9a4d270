"""Study 2, outliers: the few dimensions of the residual stream that carry its largest values.

Also the tokens they lie on.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.apart import tokens_apart
from actlas.analysis.kernels.streaming import Floats, Indices, by_place
from actlas.store.errors import UsageError

LONGEST = 60  # characters of a token
FIELDS = ("value", "dimension", "token")  # of a candidate
PLACES = ("dimension", "depth", "token", "sentence", "position")


def outliers(
    resid: xr.DataArray, count: int, token_text: Callable[[int], str] | None = None
) -> xr.Dataset:
    """The ``count`` dimensions with the largest |values|, each at its largest.

    First tokens of sentences, later ones and, where there are any, special ones are ranked apart.

    resid: (depth, token, d_model) with ``sentence`` and ``position`` on ``token``. Returns, lazily,
    ``outlier_value`` and the places ``outlier_dimension``, ``_depth``, ``_token`` (of the run),
    ``_sentence``, ``_position`` (part, rank), largest first; NaN and -1 where a group has fewer.
    token_text: returns the characters of a token; ``outlier_text`` has them then. Raises
    UsageError for fewer than one.
    """
    if count < 1:
        raise UsageError(f"{count} outliers, expected 1 or more")
    count = min(count, resid.sizes["d_model"])
    labels = {name: resid[name].values for name in ("sentence", "position")}
    apart = tokens_apart(resid)
    shape = (len(apart), count, len(FIELDS))
    kernel = partial(_candidates, apart=tuple(apart.values()), count=count)
    found = by_place(kernel, partial(_merged, shape=shape), math.prod(shape), resid)
    depths = resid["depth"].values if "depth" in resid.coords else np.arange(len(resid))
    ranked = xr.apply_ufunc(
        partial(_ranked, shape=shape, depths=depths),
        found.chunk({"depth": -1}),
        input_core_dims=[["depth", "quantity"]],
        output_core_dims=[["part", "rank", "field"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"part": len(apart), "rank": count, "field": 4}},
    )
    value, *numbers = (ranked.isel(field=number) for number in range(4))
    places = {}
    for name, number in zip(("dimension", "depth", "token"), numbers, strict=True):
        places[name] = number.astype("int64")
    for name, label in labels.items():
        places[name] = xr.apply_ufunc(
            partial(_labelled, label=label),
            places["token"],
            dask="parallelized",
            output_dtypes=[np.int64],
        )
    variables = {"outlier_value": value, **{f"outlier_{name}": places[name] for name in PLACES}}
    result = xr.Dataset(variables, {"part": list(apart)})
    result["outlier_value"].attrs["long_name"] = (
        "largest value, by size, of the dimension in the residual stream"
    )
    if token_text is not None:
        result["outlier_text"] = _texts(places["token"], token_text)
    return result


def _texts(tokens: xr.DataArray, token_text: Callable[[int], str]) -> xr.DataArray:
    """Return the characters of ``tokens``, lazily."""
    texts: xr.DataArray = xr.apply_ufunc(
        _Texts(token_text),
        tokens,
        dask="parallelized",
        output_dtypes=[np.dtype(f"<U{LONGEST}")],
    )
    texts.attrs["long_name"] = "characters of the token it lies on"
    return texts


class _Texts:
    """Of tokens their characters, none for -1; hides what it asks from dask."""

    def __init__(self, token_text: Callable[[int], str]) -> None:
        self._token_text = token_text

    def __dask_tokenize__(self) -> str:
        """Return a name of its own: dask would look into all labels for one."""
        return uuid.uuid4().hex

    def __call__(self, tokens: Indices) -> npt.NDArray[np.str_]:
        """Return the texts of an array of tokens, cut."""
        texts = [self._token_text(int(n))[:LONGEST] if n >= 0 else "" for n in tokens.ravel()]
        return np.array(texts, dtype=f"<U{LONGEST}").reshape(tokens.shape)


def _candidates(
    tokens: Indices,
    block: npt.NDArray[Any],
    apart: Sequence[npt.NDArray[np.bool_]],
    count: int,
) -> Floats:
    """Return the largest dimensions of a block (token, d_model), each at its largest.

    The result is flat: (group · rank · field,).
    """
    found = np.full((len(apart), count, len(FIELDS)), (np.nan, -1, -1))
    for group, members in enumerate(apart):
        rows = np.flatnonzero(members[tokens])
        if len(rows):
            chosen = block[rows]
            size = np.maximum(chosen.max(0), -chosen.min(0))  # (d_model,)
            dimensions = np.argsort(-size, kind="stable")[:count]
            at = np.abs(chosen[:, dimensions]).argmax(0)
            found[group] = np.stack([chosen[at, dimensions], dimensions, tokens[rows[at]]], axis=1)
    return found.ravel()


def _merged(parts: Floats, shape: tuple[int, int, int]) -> Floats:
    """Keep, of several blocks' candidates, the largest of each dimension.

    Of those the largest ``count`` are kept.
    """
    groups, count, fields = shape
    candidates = parts.reshape(len(parts), *shape)
    return np.stack(
        [_top(candidates[:, group].reshape(-1, fields), count) for group in range(groups)]
    ).ravel()


def _top(candidates: Floats, count: int) -> Floats:
    """Return the first ``count`` of (candidate, field), one for each dimension, largest first."""
    # by size, of equal ones the earlier token; NaN last
    order = np.lexsort((candidates[:, -1], -np.abs(candidates[:, 0])))
    _, first = np.unique(candidates[order, 1], return_index=True)
    kept = candidates[order[np.sort(first)]]
    kept = kept[kept[:, 1] >= 0][:count]
    return np.concatenate(
        [kept, np.tile((np.nan, *[-1.0] * (candidates.shape[1] - 1)), (count - len(kept), 1))]
    )


def _ranked(found: Floats, shape: tuple[int, int, int], depths: Indices) -> Floats:
    """Return (group, rank, field) of all ``depths`` (depth, quantity).

    The fields are value, dimension, depth and token.
    """
    groups, count, fields = shape
    candidates = found.reshape(len(found), *shape)
    depth = np.broadcast_to(depths[:, None, None, None], (*candidates.shape[:-1], 1))
    with_depth = np.concatenate([candidates[..., :2], depth, candidates[..., 2:]], axis=-1)
    return np.stack(
        [_top(with_depth[:, group].reshape(-1, fields + 1), count) for group in range(groups)]
    )


def _labelled(tokens: Indices, label: npt.NDArray[Any]) -> Indices:
    return np.where(tokens >= 0, label[tokens], -1)
