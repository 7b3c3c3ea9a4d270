"""Results on disk: small netCDF files that say which run, options and versions they come from."""

from __future__ import annotations

import importlib.metadata
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

SOFTWARE = ("actlas", "numpy", "xarray", "dask")


def with_provenance(result: xr.Dataset, *, stage: str, runs: Sequence[str], options: Mapping[str, Any]) -> xr.Dataset:
    """Return ``result`` with the stage, run ids, options and versions in its attributes, as text and JSON."""
    return result.assign_attrs(
        stage=stage,
        runs=" ".join(runs),
        options=json.dumps(options, sort_keys=True),
        software=json.dumps({name: importlib.metadata.version(name) for name in SOFTWARE}),
    )


def save_result(result: xr.Dataset, path: Path) -> None:
    """Compute ``result`` and write it as netCDF-4; an older file of that name is replaced by the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        result.to_netcdf(draft, engine="h5netcdf")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
