"""The residual stream along its depths: how far each block moves it, and how widely its values spread."""

from __future__ import annotations

import numpy as np
import xarray as xr

ENTRIES = ("token", "d_model")


def step_norms(resid: xr.DataArray) -> xr.DataArray:
    """‖h[d] − h[d−1]‖_F over all tokens and dimensions: (depth,) of 1 … L, float64; lazy stays lazy.

    resid: (depth, token, d_model) of any float dtype, all depths from the first on; choose tokens with ``.isel(token=…)``.
    Exactly 0 where a block was skipped. Source: study 3. Raises ValueError with fewer than two depths.
    """
    if resid.sizes["depth"] < 2:
        raise ValueError(f"{resid.sizes['depth']} depths, wanted 2 at least for a step between them")
    numbered = _numbered(resid)
    after = numbered.isel(depth=slice(1, None)).astype("float64")
    before = numbered.isel(depth=slice(None, -1)).astype("float64").assign_coords(depth=after["depth"])
    steps: xr.DataArray = ((after - before) ** 2).sum(ENTRIES, skipna=False) ** 0.5
    steps.attrs["long_name"] = "Frobenius norm of what block depth - 1 changes in the residual stream"
    return steps


def std_by_depth(resid: xr.DataArray) -> xr.DataArray:
    """Standard deviation (ddof=0) over tokens and dimensions: (depth,), float64; lazy stays lazy, unit by unit.

    resid: (depth, token, d_model) of any float dtype; choose tokens with ``.isel(token=…)``. Source: study 5.
    """
    spread: xr.DataArray = _numbered(resid).astype("float64").std(ENTRIES, skipna=False)
    spread.attrs["long_name"] = "standard deviation of the residual stream over tokens and dimensions"
    return spread


def _numbered(resid: xr.DataArray) -> xr.DataArray:
    """Return ``resid`` with ``depth`` alone as a label."""
    plain = resid.drop_vars([name for name in resid.coords if name != "depth"])
    return plain if "depth" in plain.coords else plain.assign_coords(depth=np.arange(plain.sizes["depth"]))
