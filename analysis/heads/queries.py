"""Scores of attention heads query by query, for means over groups of queries; lazy."""

from __future__ import annotations

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices
from actlas.analysis.heads.compute import Floats, Labels, Mask, masks, sentence_parts

#: scores that are a weight on some of the keys
KINDS = ("previous", "first", "current", "duplicate", "induction")


def query_excess(dataset: xr.Dataset) -> xr.DataArray:
    """Return the weight of every query beyond uniform attention, (key_kind, layer, head, token).

    dataset: as ``head_scores`` takes it. float64; NaN for a query that sees no such key.
    """
    pattern = dataset["pattern"]
    weights = pattern.data
    if not isinstance(weights, da.Array):
        weights = da.from_array(weights, chunks=(1, *weights.shape[1:]))
    weights = weights.rechunk({2: -1, 3: -1})
    names = ("sentence", "position", "token_id")
    sentence, position, token_id = (dataset[name].values for name in names)
    none = np.zeros((0, len(sentence)), dtype=bool)
    tokens = da.arange(weights.shape[1], chunks=(weights.chunks[1],)).reshape(1, -1, 1, 1)
    kernel = _Kernel(Labels(sentence, position, token_id, none))
    found = da.map_blocks(
        kernel,
        tokens,
        weights,
        chunks=(*weights.chunks[:3], (len(KINDS),)),
        dtype=np.float64,
        meta=np.empty((0, 0, 0, 0)),
    )
    layers, name = np.arange(weights.shape[0]), "weight of a query beyond uniform attention"
    if "layer" in pattern.coords:
        layers = pattern["layer"].values
    array = xr.DataArray(
        found, dims=("layer", "token", "head", "key_kind"), attrs={"long_name": name}
    )
    array = array.assign_coords(key_kind=list(KINDS), layer=layers)
    return array.transpose("key_kind", "layer", "head", "token")


class _Kernel:
    """Of a block its excess; hides the labels from dask, which would look into them."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    def __call__(self, tokens: Indices, weights: npt.NDArray[np.float32]) -> Floats:
        """Return (layer, token, head, kind) of weights (layer, token, head, key)."""
        here = tokens[0, :, 0, 0]
        found = np.empty((*weights.shape[:3], len(KINDS)))
        for start, end in sentence_parts(self._labels.sentence[here]):
            ids = self._labels.token_id[here[start:end]]
            for layer, rows in enumerate(weights):
                part = rows[start:end, :, : end - start].astype(np.float64)
                found[layer, start:end] = _excess(part, ids)
        return found


def _excess(weights: Floats, ids: npt.NDArray[np.integer]) -> Floats:
    """Return (query, head, kind) of a sentence in a layer; weights (query, head, key)."""
    seen: Mask = np.asarray((weights > 0).any(axis=1))
    found = []
    for mask in masks(ids).values():
        visible = np.logical_and(mask, seen)
        beyond = np.einsum("qhk,qk->qh", weights, visible.astype(np.float64))
        beyond -= (visible.sum(-1) / seen.sum(-1))[:, np.newaxis]
        found.append(np.where(np.asarray(visible.any(-1))[:, np.newaxis], beyond, np.nan))
    return np.stack(found, axis=-1)
