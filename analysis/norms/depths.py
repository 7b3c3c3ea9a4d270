"""The residual stream along its depths.

How far each layer moves it, and how widely its values spread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.kernels.folding import folded
from actlas.analysis.kernels.streaming import Floats, by_token, tiles

#: share of a row's sum of squares below which its centred sum is not the difference of two sums any
#: more
SURE = 0.01


def stored_layers(resid: xr.DataArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where the input of each layer lies whose output lies behind it.

    The second array has the numbers of these layers.

    resid: (depth, …). All layers of the model, 0 … L − 1, but in an export, which may leave depths
    out.
    """
    depth = resid["depth"].values if "depth" in resid.coords else np.arange(resid.sizes["depth"])
    lower = np.flatnonzero(np.diff(depth) == 1)
    return lower, depth[lower].astype(np.int64)


def span(places: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """Return ``places`` as a slice where they are one.

    Blocks chosen by a list are copied, those of a slice stay mapped.
    """
    consecutive = len(places) > 0 and places[-1] - places[0] == len(places) - 1
    return slice(int(places[0]), int(places[-1]) + 1) if consecutive else places


def step_norms(resid: xr.DataArray) -> xr.DataArray:
    """‖h[d] − h[d−1]‖_F over all tokens and dimensions: (depth,) of 1 … L, float64.

    Lazy stays lazy.

    resid: (depth, token, d_model) of any float dtype, all depths from the first on; choose tokens
    with ``.isel(token=…)``. Exactly 0 where a layer was skipped. Source: study 3. Raises ValueError
    with fewer than two depths.
    """
    if resid.sizes["depth"] < 2:
        raise ValueError(
            f"{resid.sizes['depth']} depths, expected 2 at least for a step between them"
        )
    numbered = _numbered(resid)
    after = numbered.isel(depth=slice(1, None))
    squares = by_token(_steps, 1, after, numbered.isel(depth=slice(None, -1)))
    steps: xr.DataArray = squares.isel(quantity=0).sum("token", skipna=False) ** 0.5
    steps.attrs["long_name"] = (
        "Frobenius norm of what layer depth - 1 changes in the residual stream"
    )
    return steps


def std_by_depth(resid: xr.DataArray) -> xr.DataArray:
    """Standard deviation (ddof=0) over tokens and dimensions: (depth,), float64; lazy stays lazy.

    resid: (depth, token, d_model) of any float dtype; choose tokens with ``.isel(token=…)``.
    Source: study 5.
    """
    numbered = _numbered(resid)
    found = folded(_Spread, {}, numbered).assign_coords(numbered.coords)
    found = found if resid.chunks else found.compute()
    found.attrs["long_name"] = (
        "standard deviation of the residual stream over tokens and dimensions"
    )
    return found


def spread(rows: Floats) -> Floats:
    """Return Euclidean norm, mean and centred sum of squares of each of ``rows`` (row, vector).

    The result is (3, row).
    """
    whole, mean = np.vecdot(rows, rows), rows.mean(1)
    square = whole - rows.shape[1] * mean * mean
    unsure = ~(square > SURE * whole)  # too much was subtracted: sum again, centred
    if unsure.any():
        centred = rows[unsure] - mean[unsure, np.newaxis]
        square[unsure] = np.vecdot(centred, centred)
    return np.stack([np.sqrt(whole), mean, square])


class _Spread:
    """Spread of values within tokens, and of the tokens' means."""

    def __init__(self) -> None:
        self._count, self._mean, self._within, self._between = 0, 0.0, 0.0, 0.0

    def add(self, first: int, *blocks: npt.NDArray[Any]) -> None:
        """Take in rows (token, d_model)."""
        for _, (rows,) in tiles(*blocks):
            _, mean, square = spread(rows)
            self._within += float(square.sum()) / rows.shape[1]
            # Chan, Golub and LeVeque: within the parts, and between their means
            total, away = self._count + len(mean), float(mean.mean()) - self._mean
            self._between += float(((mean - mean.mean()) ** 2).sum())
            self._between += away * away * self._count * len(mean) / total
            self._mean += away * len(mean) / total
            self._count = total

    def result(self) -> Floats:
        """Return the standard deviation, NaN of nothing."""
        if not self._count:
            return np.array(np.nan)
        return np.sqrt((self._within + self._between) / np.array(self._count))


def _steps(after: Floats, before: Floats) -> Floats:
    after -= before
    squares: Floats = np.vecdot(after, after)
    return squares[np.newaxis]


def _numbered(resid: xr.DataArray) -> xr.DataArray:
    """Return ``resid`` with ``depth`` alone as a label."""
    plain = resid.drop_vars([name for name in resid.coords if name != "depth"])
    return (
        plain
        if "depth" in plain.coords
        else plain.assign_coords(depth=np.arange(plain.sizes["depth"]))
    )
