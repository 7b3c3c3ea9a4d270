"""Means over tokens with a band: sentences are drawn again, because their tokens hang together."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

RESAMPLES = 1000
BAND = (2.5, 97.5)  # percentiles


def cluster_means(values: xr.DataArray, cluster: npt.NDArray[np.integer], seed: int) -> xr.Dataset:
    """Return ``mean`` over ``token`` and its 95 % ``bounds`` (bound, …), lazily.

    values: (…, token). cluster: of each token; the bootstrap draws clusters, RESAMPLES times. With
    fewer than two the bounds are NaN.
    """
    plain = values.drop_vars(
        [name for name, label in values.coords.items() if "token" in label.dims]
    )
    plain = plain.chunk({"token": -1}) if plain.chunks else plain
    bounds: xr.DataArray = xr.apply_ufunc(
        partial(_bounds, cluster=cluster, seed=seed),
        plain,
        input_core_dims=[["token"]],
        output_core_dims=[["bound"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"bound": 2}},
    )
    bounds = bounds.transpose("bound", ...).assign_coords(bound=["lower", "upper"])
    return xr.Dataset({"mean": plain.mean("token"), "bounds": bounds})


def _bounds(
    values: npt.NDArray[np.float64], *, cluster: npt.NDArray[np.integer], seed: int
) -> npt.NDArray[np.float64]:
    numbers, of_token = np.unique(cluster, return_inverse=True)
    if len(numbers) < 2:
        return np.full((*values.shape[:-1], 2), np.nan)
    members = np.zeros((len(of_token), len(numbers)))
    members[np.arange(len(of_token)), of_token] = 1
    sums = values @ members  # (…, cluster)
    share = np.full(len(numbers), 1 / len(numbers))
    draws = np.random.default_rng(seed).multinomial(len(numbers), share, RESAMPLES)
    means = (sums @ draws.T) / (draws @ members.sum(0))  # (…, resample)
    return np.moveaxis(np.percentile(means, BAND, axis=-1), 0, -1)
