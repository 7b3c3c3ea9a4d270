"""A result that is larger than memory.

Its netCDF file is made around it, then written block by block, in order.

HDF5 lays the file out in memory with room for the numbers, and is done before the disk is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask
import h5netcdf
import h5py
import numpy as np
import xarray as xr
import xxhash

from actlas.analysis.results.seals import sealed_tail
from actlas.store.format.skeleton import Image
from actlas.store.io.replacing import Replacement

READ_BYTES = 1 << 20


def add_large_result(
    files: Replacement, name: str, result: xr.Dataset, variable: str, question: str
) -> str:
    """Add ``result`` to ``files``, sealed, without ever holding its lazy ``variable``.

    Return the XXH3-128 of the file.

    variable: (…, …, row, column) of a little-endian dtype, a chunk along the first two dims; only
    one of them is computed at a time. Computed in this process alone: workers do not see the folder
    of results.
    """
    return files.add(name, _pieces(Path(name).stem, result, variable, question))


def _pieces(
    name: str, result: xr.Dataset, variable: str, question: str
) -> Iterator[bytes | memoryview]:
    image, start, end = _layout(result, variable)
    digest = xxhash.xxh3_128()
    for part in (
        _stretch(image, 0, start),
        _blocks(result[variable]),
        _stretch(image, end, image.size),
    ):
        for piece in part:
            digest.update(piece)
            yield piece
    yield sealed_tail(name, question, result.attrs, image.size, digest.hexdigest(), {})


def _layout(result: xr.Dataset, variable: str) -> tuple[Image, int, int]:
    """Return the file with room for ``variable``, and where that room begins and ends."""
    image, array = Image(), result[variable]
    image.write(result.drop_vars(variable).to_netcdf(engine="h5netcdf"))
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    image.seek(0)
    with h5netcdf.File(image, "r+") as file:
        for dim in (dim for dim in array.dims if dim not in file.dimensions):
            file.dimensions[str(dim)] = array.sizes[dim]
        made = file.create_variable(variable, array.dims, array.dtype, dcpl=creation)
        made.attrs["coordinates"] = " ".join(
            sorted(str(name) for name in set(array.coords) - set(array.dims))
        )
    with h5py.File(image, "r") as file:
        start = file[variable].id.get_offset()
    return image, start, start + array.nbytes


def _blocks(array: xr.DataArray) -> Iterator[memoryview]:
    """Yield the values in C order, those of one place along the first two dims at a time."""
    first, second = array.dims[:2]
    with dask.config.set(scheduler="threads"):
        for one in range(array.sizes[first]):
            for other in range(array.sizes[second]):
                block = np.ascontiguousarray(array[{first: one, second: other}].values)
                yield block.reshape(-1).view(np.uint8).data


def _stretch(image: Image, start: int, end: int) -> Iterator[bytes]:
    image.seek(start)
    while start < end:
        piece = image.read(min(READ_BYTES, end - start))
        yield piece
        start += len(piece)
