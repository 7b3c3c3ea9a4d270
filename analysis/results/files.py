"""Results on disk: netCDF files that say which run, options and versions they come from.

They are sealed and replaced as a whole.

HDF5 makes them in memory: a full disk under an open HDF5 file can end the process.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dask
import h5py
import numpy as np
import xarray as xr
import xxhash

from actlas.analysis.results.seals import REMEDY, DamagedResult, Seal, check_result, sealed_tail
from actlas.store.io.replacing import Replacement, replacing

SOFTWARE = ("actlas", "numpy", "xarray", "dask")
LARGEST_RESULT = 1 << 30  # bytes that are read into memory
MOST_VARIABLES = 1000
MOST_CLAIMED = 8  # times its own bytes; a dimension without a variable has a place and no bytes
UNREADABLE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def with_provenance(
    result: xr.Dataset,
    *,
    stage: str,
    runs: Sequence[str],
    options: Mapping[str, Any],
    software: Mapping[str, str] = MappingProxyType({}),
) -> xr.Dataset:
    """Return ``result`` with the stage, run ids, options and versions as its attributes.

    They are text and JSON; other attributes are dropped. software: versions of further packages.
    """
    return result.drop_attrs(deep=False).assign_attrs(
        stage=stage,
        runs=" ".join(runs),
        options=json.dumps(options, sort_keys=True),
        software=json.dumps({**_versions(), **software}),
    )


@cache
def _versions() -> Mapping[str, str]:
    """Return the versions that each result records; looking one up reads a file."""
    return {name: importlib.metadata.version(name) for name in SOFTWARE}


def save_result(result: xr.Dataset, path: Path, question: str = "") -> None:
    """Compute ``result`` and write it, sealed, as netCDF-4.

    An older file of that name is replaced by the whole new one.

    result: with ``with_provenance``. Raises OSError, with the path, where it cannot be written.
    """
    with replacing(path.parent) as files:
        add_result(files, path.name, result, question, {})


def add_result(
    files: Replacement, name: str, result: xr.Dataset, question: str, beside: Mapping[str, str]
) -> None:
    """Compute ``result`` and add it, sealed, to ``files`` as ``name``.

    beside: name → XXH3-128 of the files that belong to it.
    """
    with dask.config.set(scheduler="synchronous"):  # a client's lock of a file is no lock of memory
        content = result.to_netcdf(engine="h5netcdf")
    digest = xxhash.xxh3_128_hexdigest(content)
    files.add(
        name,
        [
            content,
            sealed_tail(Path(name).stem, question, result.attrs, len(content), digest, beside),
        ],
    )


def read_result(path: Path) -> xr.Dataset:
    """Return a result, loaded, after every byte of it and of its figures was checked.

    Raises DamagedResult.
    """
    return load(check_result(path))


def load(found: Seal) -> xr.Dataset:
    """Return the numbers of a result.

    Raises DamagedResult for a netCDF part that is not plain, or cannot be read.
    """
    if found.size > LARGEST_RESULT:
        raise DamagedResult(
            f"{found.path} has {found.size:,} bytes, expected at most {LARGEST_RESULT:,}: open it "
            f"with xarray"
        )
    try:
        with found.path.open("rb") as file:
            content = file.read(found.size)
        if xxhash.xxh3_128_hexdigest(content) != found.content:
            raise DamagedResult(f"{found.path} was altered (checksum differs): {REMEDY}")
        with h5py.File(io.BytesIO(content), "r") as file:
            _refuse_unplain(file, len(content))
        with xr.open_dataset(io.BytesIO(content), engine="h5netcdf") as opened:
            return opened.load()
    except UNREADABLE as error:
        raise DamagedResult(
            f"{found.path} cannot be read ({str(error)[:200]}): {REMEDY}"
        ) from error


def _refuse_unplain(file: h5py.File, size: int) -> None:
    """Raise ValueError for what would lead a reader elsewhere, or claims too much.

    A file of ``size`` bytes cannot hold more than that.
    """
    names: list[bytes] = []
    file.id.links.iterate(names.append)
    if len(names) > MOST_VARIABLES:
        raise ValueError(f"{len(names)} variables, expected {MOST_VARIABLES} at most")
    claimed = 0
    for name in names:
        hard = file.id.links.get_info(name).type == h5py.h5l.TYPE_HARD
        variable = file[name] if hard else None
        if not isinstance(variable, h5py.Dataset) or variable.is_virtual or variable.external:
            raise ValueError(f"{name[:99]!r} is a link or no variable of this file")
        claimed += int(np.prod(variable.shape, dtype=object)) * variable.dtype.itemsize
    if claimed > MOST_CLAIMED * size:
        raise ValueError(f"its variables claim {claimed:,} bytes of a file of {size:,}")
