"""Study 1, second half: how alike features are over contexts.

For the six pairs of projections of Q, K and V, layer by layer.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.cosine.many import MANY, ManyCosines
from actlas.analysis.data.sites import feature_dims, heads_of
from actlas.analysis.groups.by_block import BlockRows
from actlas.analysis.groups.token_groups import Grouped
from actlas.analysis.kernels.cosine_tiles import count_cosines, directions, unit_columns
from actlas.analysis.kernels.folding import folded
from actlas.analysis.kernels.tile_counts import CosineCounts
from actlas.analysis.variance.compute import PROJECTIONS, flat
from actlas.store.errors import UsageError

#: name → the two projections whose features are compared; within one, every pair once and none
#: with itself
PROJECTION_PAIRS = {
    **{(projection + projection).upper(): (projection, projection) for projection in PROJECTIONS},
    **{(one + two).upper(): (one, two) for one, two in combinations(PROJECTIONS, 2)},
}
MOMENTS = {
    "mean": "mean cosine of the defined pairs",
    "mean_abs": "mean |cosine|",
    "std": "standard deviation of the cosine over pairs",
    "share_above_0.9": "share of pairs with |cosine| > 0.9",
}
PAIRS = {
    "pairs": "pairs of features",
    "undefined": "pairs without a cosine: a feature is zero, or constant if centred",
}
DEFAULT_BINS = 100
# counted in one task: long beside what dask does between two, and the rows of a word in six layers
# are still few MB; of a word with more than ROWS tokens in all of them, fewer layers
LAYERS, ROWS = 6, 512


def cosine_histograms(
    dataset: xr.Dataset, selection: Grouped, *, bins: int = DEFAULT_BINS, center: bool = False
) -> xr.Dataset:
    """Histogram and moments of the cosines between features over the selected tokens.

    Per group, pair of projections and layer.

    dataset: ``q``, ``k``, ``v`` (layer, token, head, d_head), keys and values on ``kv_head`` where
    the model has fewer of them; choose layers with ``.sel(layer=…)``.
    Every feature's column over the n tokens is divided by its Euclidean norm (with ``center`` after
    its mean is taken off). Returns, lazily, ``count`` (group, projection_pair, layer, bin) int64
    with ``bin_edge`` (edge) on [-1, 1]; ``mean``, ``mean_abs``, ``std``, ``share_above_0.9``
    float64 and ``pairs``, ``undefined`` int64 (group, projection_pair, layer); and the tokens.
    Counts sum to pairs - undefined. Memory: one tile a thread; of groups of more than
    ``many.MANY`` tokens the products of all features. Fastest with one BLAS thread in each
    of dask's: ``threadpoolctl.threadpool_limits(1, "blas")``. Source: study 1. Raises UsageError
    for fewer than one bin.
    """
    if bins < 1:
        raise UsageError(f"{bins} bins, expected 1 or more")
    groups = [_group(dataset, selection, group, bins, center) for group in selection.groups]
    result = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    result = result.assign_coords(
        projection_pair=list(PROJECTION_PAIRS), bin_edge=("edge", np.linspace(-1, 1, bins + 1))
    )
    for name, meaning in {"count": "pairs in the bin", **MOMENTS, **PAIRS}.items():
        result[name].attrs["long_name"] = meaning
    return result.merge(selection.coordinates())


def _group(
    dataset: xr.Dataset, selection: Grouped, group: str, bins: int, center: bool
) -> xr.Dataset:
    if len(selection.groups[group]) > MANY:
        return _of_many(dataset, selection, group, bins, center)
    columns = feature_columns(dataset, selection, group)
    counts, moments, pairs = xr.apply_ufunc(
        _layers,
        *columns.values(),
        kwargs={"bins": bins, "center": center},
        input_core_dims=[["token", f"feature_{projection}"] for projection in columns],
        output_core_dims=[
            ["projection_pair", "bin"],
            ["projection_pair", "moment"],
            ["projection_pair", "kind"],
        ],
        dask="parallelized",
        output_dtypes=[np.int64, np.float64, np.int64],
        dask_gufunc_kwargs={
            "output_sizes": {
                "projection_pair": len(PROJECTION_PAIRS),
                "bin": bins,
                "moment": len(MOMENTS),
                "kind": len(PAIRS),
            },
        },
    )
    return _named(counts, moments, pairs)


def _of_many(
    dataset: xr.Dataset, selection: Grouped, group: str, bins: int, center: bool
) -> xr.Dataset:
    found = [selection.rows(dataset[projection], group) for projection in PROJECTIONS]
    columns, rows = [flat(array) for array, _ in found], BlockRows({group: found[0][1]})
    pairs = tuple(
        (PROJECTIONS.index(one), PROJECTIONS.index(two)) for one, two in PROJECTION_PAIRS.values()
    )
    make = partial(ManyCosines, rows=rows, group=group, pairs=pairs, bins=bins, center=center)
    sizes = {"projection_pair": len(pairs), "number": bins + len(MOMENTS) + len(PAIRS)}
    numbers = folded(make, sizes, *columns, wanted=rows.any)
    if "layer" in dataset.coords:
        numbers = numbers.assign_coords(layer=dataset["layer"].values)
    counts = numbers.isel(number=slice(bins)).rename(number="bin").astype(np.int64)
    moments = numbers.isel(number=slice(bins, bins + len(MOMENTS))).rename(number="moment")
    of_pairs = numbers.isel(number=slice(bins + len(MOMENTS), None)).rename(number="kind")
    return _named(counts, moments, of_pairs.astype(np.int64))


def _named(counts: xr.DataArray, moments: xr.DataArray, pairs: xr.DataArray) -> xr.Dataset:
    """Return counts, moments and numbers of pairs by name."""
    parts = {"count": counts}
    parts |= {name: moments.isel(moment=index) for index, name in enumerate(MOMENTS)}
    parts |= {name: pairs.isel(kind=index) for index, name in enumerate(PAIRS)}
    order = ("projection_pair", "layer", "bin")
    return xr.Dataset(
        {
            name: part.transpose(*(dim for dim in order if dim in part.dims))
            for name, part in parts.items()
        }
    )


def feature_columns(dataset: xr.Dataset, selection: Grouped, group: str) -> dict[str, xr.DataArray]:
    """Return each projection as (layer, token, feature), a few layers a chunk where it is lazy."""
    columns = {}
    layers = max(1, min(LAYERS, ROWS // max(1, len(selection.groups[group]))))
    for projection in PROJECTIONS:
        chosen = selection.take(dataset[projection], group)
        dims = feature_dims(chosen)
        stacked = chosen.stack({f"feature_{projection}": dims}, create_index=False)  # head · d_head
        columns[projection] = (
            stacked.chunk({"layer": layers, "token": -1, f"feature_{projection}": -1})
            if chosen.chunks
            else stacked
        )
    return columns


def _layers(
    *columns: npt.NDArray[Any], bins: int, center: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Count every layer of (layer, token, feature) arrays of Q, K and V.

    Returns counts, moments and numbers of pairs, each (layer, projection_pair, …).
    """
    found: list[list[CosineCounts]] = []
    for layer in range(len(columns[0])):
        units = {
            p: directions(array[layer], center=center)
            for p, array in zip(PROJECTIONS, columns, strict=True)
        }
        found.append(
            [
                count_cosines(units[a], None if a == b else units[b], bins)
                for a, b in PROJECTION_PAIRS.values()
            ]
        )
    count = np.array([[each.count for each in layer] for layer in found])
    moments = np.array(
        [[(c.mean, c.mean_abs, c.std, c.share_high) for c in layer] for layer in found]
    )
    pairs = np.array([[(each.pairs, each.undefined) for each in layer] for layer in found])
    return count, moments, pairs


def cosine_matrix(dataset: xr.Dataset, selection: Grouped, *, center: bool = False) -> xr.DataArray:
    """Return the whole matrix of cosines, lazily.

    It is (group, layer, feature, other) in float32, NaN where a cosine is undefined.

    dataset, center: as in ``cosine_histograms``. ``feature`` runs through Q, K and V side by side;
    ``projection``, ``head``, ``d_head`` label it, and ``other_projection``, … label ``other``; a
    head of K or V is counted among those of its own. A
    (group, layer) is one chunk: 92 MB at GPT-2 XL's size.
    """
    groups = []
    for group in selection.groups:
        columns = [
            array.rename({f"feature_{p}": "feature"})
            for p, array in feature_columns(dataset, selection, group).items()
        ]
        features = xr.concat(columns, "feature", coords="minimal", compat="override").chunk(
            {"layer": 1, "token": -1, "feature": -1}
        )
        size = features.sizes["feature"]
        groups.append(
            xr.apply_ufunc(
                _matrices,
                features.drop_vars([name for name in features.coords if name != "layer"]),
                kwargs={"center": center},
                input_core_dims=[["token", "feature"]],
                output_core_dims=[["feature", "other"]],
                exclude_dims={"feature"},
                dask="parallelized",
                output_dtypes=[np.float32],
                dask_gufunc_kwargs={"output_sizes": {"feature": size, "other": size}},
            )
        )
    matrix: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups))).rename(
        "cosine"
    )
    labels = _feature_labels(dataset)
    matrix = matrix.assign_coords({name: ("feature", values) for name, values in labels.items()})
    return matrix.assign_coords(
        {f"other_{name}": ("other", values) for name, values in labels.items()}
    )


def _matrices(features: npt.NDArray[Any], *, center: bool) -> npt.NDArray[np.float32]:
    units = [unit_columns(layer, center=center) for layer in features]
    return np.stack([unit @ unit.T for unit in units])


def _feature_labels(dataset: xr.Dataset) -> dict[str, npt.NDArray[Any]]:
    heads = heads_of(dataset, PROJECTIONS)
    widths = {projection: dataset[projection].sizes["d_head"] for projection in PROJECTIONS}
    sizes = [heads[projection] * widths[projection] for projection in PROJECTIONS]
    numbers = [np.repeat(np.arange(heads[each]), widths[each]) for each in PROJECTIONS]
    columns = [np.tile(np.arange(widths[each]), heads[each]) for each in PROJECTIONS]
    return {
        "projection": np.repeat(list(PROJECTIONS), sizes),
        "head": np.concatenate(numbers),
        "d_head": np.concatenate(columns),
    }


def pair_masks(matrix: xr.DataArray) -> xr.DataArray:
    """Return which pairs of ``cosine_matrix`` belong to each pair of projections.

    (projection_pair, feature, other) bool, lazy, a pair of projections a chunk.
    """
    size = matrix.sizes["feature"]
    row, column = (matrix[name].values for name in ("projection", "other_projection"))

    def mask(one: str, two: str) -> da.Array:
        rows, columns = (
            da.from_array(row == one, chunks=-1),
            da.from_array(column == two, chunks=-1),
        )
        pairs: da.Array = rows[:, None] & columns[None, :]
        return (
            pairs & da.triu(da.ones((size, size), dtype=bool, chunks=-1), 1)
            if one == two
            else pairs
        )

    masks = da.stack([mask(one, two) for one, two in PROJECTION_PAIRS.values()])
    sides = matrix.drop_vars("layer", errors="ignore").coords
    return xr.DataArray(
        masks,
        dims=("projection_pair", "feature", "other"),
        coords={"projection_pair": list(PROJECTION_PAIRS)},
    ).assign_coords(
        {
            name: value
            for name, value in sides.items()
            if value.dims and value.dims[0] in ("feature", "other")
        }
    )
