"""What stands for a word of several tokens: its last, its first, or the mean of all."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.sentences import Indices

Pool = Literal["last", "first", "mean"]


def taken(activations: xr.DataArray, first: Indices, last: Indices | None = None) -> xr.DataArray:
    """Return the tokens ``first`` of ``activations`` (…, token, …), or means to ``last``.

    Labels but ``layer`` are dropped. Lazy stays lazy. Means are float64.
    """
    plain = unlabelled(activations)
    if last is None:
        return plain.isel(token=first)
    sizes = last - first + 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    members = np.concatenate([np.arange(a, b + 1) for a, b in zip(first, last, strict=True)])
    words = plain.isel(token=members).astype("float64")
    pooled: xr.DataArray = xr.apply_ufunc(
        _mean_of_runs,
        words.chunk({"token": -1}) if words.chunks else words,
        kwargs={"starts": starts, "sizes": sizes},
        input_core_dims=[["token"]],
        output_core_dims=[["token"]],
        exclude_dims={"token"},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"token": len(sizes)}},
    )
    return pooled.transpose(*activations.dims)


def unlabelled(activations: xr.DataArray) -> xr.DataArray:
    """Return ``activations`` with no label but ``layer``."""
    return activations.drop_vars([name for name in activations.coords if name != "layer"])


def _mean_of_runs(
    values: npt.NDArray[Any], *, starts: Indices, sizes: Indices
) -> npt.NDArray[np.float64]:
    """Return the means of consecutive runs along the last axis."""
    return np.add.reduceat(values, starts, axis=-1) / sizes


def have_rows(
    stored: npt.NDArray[np.bool_], first: Indices, last: Indices, pool: Pool
) -> npt.NDArray[np.bool_]:
    """Return which matches, from ``first`` to ``last``, have the rows that stand for them.

    stored: which tokens have any; of a mean all of a match are needed.
    """
    if pool != "mean":
        return np.asarray(stored[first if pool == "first" else last])
    counted = np.concatenate([[0], np.cumsum(stored)])
    return np.asarray(counted[last + 1] - counted[first] == last + 1 - first)
