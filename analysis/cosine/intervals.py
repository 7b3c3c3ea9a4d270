"""How sure the mean |cosine| is: clusters drawn again, for some pairs of features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.cosine.compute import PROJECTION_PAIRS, feature_columns
from actlas.analysis.groups.resampling import Floats, Resampling
from actlas.analysis.groups.token_groups import Grouped
from actlas.analysis.variance.compute import PROJECTIONS

SAMPLE = 256  # pairs of features of each pair of projections: enough for the width of an interval

Pairs = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def cosine_draws(
    dataset: xr.Dataset,
    selection: Grouped,
    drawn: Resampling,
    mean_abs: xr.DataArray,
    *,
    center: bool = False,
    seed: int = 0,
) -> xr.DataArray:
    """Return ``mean_abs`` of clusters drawn again: (resample, group, projection_pair, layer).

    Lazy, float64. Of SAMPLE pairs of features, drawn with ``seed``. With fewer different tokens any
    two columns are more alike: the draws lie above what they are of. They are shifted so that their
    mean is ``mean_abs``, and say how far it may be off, not how high chance is.
    """
    groups = []
    for group in selection.groups:
        columns = feature_columns(dataset, selection, group)
        sizes = [column.shape[-1] for column in columns.values()]
        draws = xr.apply_ufunc(
            _draws,
            *columns.values(),
            kwargs={"drawn": drawn, "group": group, "pairs": _pairs(sizes, seed), "center": center},
            input_core_dims=[["token", f"feature_{projection}"] for projection in columns],
            output_core_dims=[["projection_pair", "resample"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={
                "output_sizes": {
                    "projection_pair": len(PROJECTION_PAIRS),
                    "resample": drawn.resamples,
                }
            },
        )
        groups.append(draws)
    joined: xr.DataArray = xr.concat(groups, xr.Variable("group", list(selection.groups)))
    joined = joined.assign_coords(projection_pair=list(PROJECTION_PAIRS))
    shifted = joined - joined.mean("resample") + mean_abs
    return shifted.transpose("resample", "group", "projection_pair", "layer")


def _pairs(sizes: list[int], seed: int) -> Pairs:
    """Return the features of SAMPLE pairs for each pair of projections, none with itself."""
    generator, found = np.random.default_rng(seed), []
    for one, two in PROJECTION_PAIRS.values():
        left, right = (sizes[PROJECTIONS.index(each)] for each in (one, two))
        rows, columns = (generator.integers(0, size, SAMPLE) for size in (left, right))
        if one == two and left > 1:
            columns = (rows + generator.integers(1, left, SAMPLE)) % left
        found.append((rows, columns))
    return found


def _draws(
    *columns: npt.NDArray[Any], drawn: Resampling, group: str, pairs: Pairs, center: bool
) -> Floats:
    """Return (layer, projection_pair, resample) of columns (layer, token, feature)."""
    found = np.empty((len(columns[0]), len(pairs), drawn.resamples))
    names = list(PROJECTIONS)
    for layer in range(len(found)):
        for number, (one, two) in enumerate(PROJECTION_PAIRS.values()):
            rows, others = pairs[number]
            x = columns[names.index(one)][layer][:, rows].astype(np.float64)
            y = columns[names.index(two)][layer][:, others].astype(np.float64)
            found[layer, number] = _mean_abs(x, y, drawn, group, center=center)
    return found


def _mean_abs(x: Floats, y: Floats, drawn: Resampling, group: str, *, center: bool) -> Floats:
    """Return the mean |cosine| of columns (token, pair) in every resample: (resample,)."""
    if center:  # about their means, so that little is subtracted below
        x, y = x - x.mean(0), y - y.mean(0)
    products = [drawn.weights @ drawn.sums(group, each) for each in (x * y, x * x, y * y)]
    if center:
        size = drawn.tokens(group)[:, None].clip(1)
        mean_x, mean_y = (drawn.weights @ drawn.sums(group, each) for each in (x, y))
        for product, off in zip(products, (mean_x * mean_y, mean_x**2, mean_y**2), strict=True):
            product -= off / size
    both, one, other = products
    norm = np.sqrt(one.clip(0)) * np.sqrt(other.clip(0))
    cosine = np.divide(np.abs(both), norm, out=np.full_like(norm, np.nan), where=norm > 0)
    there = ~np.isnan(cosine)
    count = there.sum(1)
    sums = np.where(there, cosine.clip(max=1), 0).sum(1)
    mean: Floats = np.divide(sums, count, out=np.full(len(sums), np.nan), where=count > 0)
    return mean
