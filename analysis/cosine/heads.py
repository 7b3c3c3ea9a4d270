"""Study 1: how alike the features of two heads are, for every pair of heads and layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.cosine.compute import feature_columns
from actlas.analysis.cosine.many import MANY
from actlas.analysis.data.sites import feature_dims
from actlas.analysis.groups.token_groups import Grouped
from actlas.analysis.kernels.cosine_tiles import unit_columns
from actlas.analysis.variance.compute import PROJECTIONS

Floats = npt.NDArray[np.float64]
FEW = 128  # tokens, up to which products of tokens are smaller than those of features


def head_cosines(dataset: xr.Dataset, selection: Grouped, *, center: bool = False) -> xr.DataArray:
    """Return the root mean square cosine between features of two heads, (group, layer, head_pair).

    Lazy, float64. ``head_one`` and ``head_other`` on ``head_pair`` name the heads, such as ``Q0``
    and ``K3``; each pair of heads is there once, and a feature is not compared with itself. NaN
    without a defined cosine, and for groups of more than MANY tokens, whose columns are not held.
    """
    heads = [dataset[name].sizes[feature_dims(dataset[name])[0]] for name in PROJECTIONS]
    named = [
        f"{name.upper()}{head}"
        for name, count in zip(PROJECTIONS, heads, strict=True)
        for head in range(count)
    ]
    one, other = np.tril_indices(len(named))
    groups = [_group(dataset, selection, group, heads, center) for group in selection.groups]
    found = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    found = found.assign_coords(
        head_one=("head_pair", np.array(named)[one]),
        head_other=("head_pair", np.array(named)[other]),
    )
    meaning = "root mean square cosine between the features of two heads"
    return found.assign_attrs(long_name=meaning)


def _group(
    dataset: xr.Dataset, selection: Grouped, group: str, heads: list[int], center: bool
) -> xr.DataArray:
    pairs = sum(heads) * (sum(heads) + 1) // 2
    if len(selection.groups[group]) > MANY:
        layers = dataset.sizes["layer"]
        missing = xr.DataArray(np.full((layers, pairs), np.nan), dims=("layer", "head_pair"))
        known = {"layer": dataset["layer"]} if "layer" in dataset.coords else {}
        return missing.assign_coords(known)
    columns = feature_columns(dataset, selection, group)
    found: xr.DataArray = xr.apply_ufunc(
        _layers,
        *columns.values(),
        kwargs={"heads": heads, "center": center},
        input_core_dims=[["token", f"feature_{projection}"] for projection in columns],
        output_core_dims=[["head_pair"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"head_pair": pairs}},
    )
    return found


def _layers(*columns: npt.NDArray[Any], heads: list[int], center: bool) -> Floats:
    """Return (layer, head_pair) of (layer, token, feature) arrays of Q, K and V."""
    found = []
    for layer in range(len(columns[0])):
        units = [unit_columns(array[layer], center=center) for array in columns]
        blocks = [
            block
            for rows, count in zip(units, heads, strict=True)
            for block in np.split(rows, count)
        ]
        found.append(head_matrix(blocks)[np.tril_indices(len(blocks))])
    return np.array(found).reshape(len(columns[0]), -1)


def head_matrix(blocks: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """Return the root mean square cosine of every two blocks of features, (block, block).

    blocks: unit vectors over tokens as rows, (feature, token); those of NaN have no cosine. With
    few tokens by Σ cos² = ⟨Aᵀ A, Bᵀ B⟩, without a product of features with features.
    """
    defined = [np.isfinite(block).all(1) for block in blocks]
    rows = [np.nan_to_num(block) for block in blocks]
    if rows[0].shape[1] <= FEW:
        grams = np.array([(each.T @ each).ravel() for each in rows], dtype=np.float64)
        squares = grams @ grams.T  # of (block, token · token)
    else:
        every, starts = np.concatenate(rows), np.cumsum([0, *map(len, rows[:-1])])
        sums = [np.square(each @ every.T).sum(0, dtype=np.float64) for each in rows]
        squares = np.add.reduceat(np.array(sums), starts, axis=1)
    counts = np.array([each.sum() for each in defined], dtype=np.float64)
    pairs = np.outer(counts, counts)
    # a feature with itself: 1 but for rounding
    own = [float((np.square(each).sum(1, dtype=np.float64) ** 2).sum()) for each in rows]
    np.fill_diagonal(squares, np.diag(squares) - own)
    np.fill_diagonal(pairs, counts * (counts - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.clip(squares, 0, None) / np.where(pairs > 0, pairs, np.nan)))
