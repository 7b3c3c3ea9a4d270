"""netCDF-4 by HDF5's own calls.

Dimensions, variables, attributes, as netCDF libraries write and read them.

h5netcdf writes the same, but looks everything up again for every variable, which was most of what a
small unit took. After the netCDF user's guide, file format: dimension scales, ``_Netcdf4Dimid``,
``_Netcdf4Coordinates``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."
TEXT = h5py.string_dtype()


class Netcdf:
    """A root group being written: ``sizes`` are its dimensions, in order.

    ``offsets`` says where in the file each variable lies that was made so far.
    """

    def __init__(
        self, file: h5py.File, sizes: Mapping[str, int], attributes: Mapping[str, str]
    ) -> None:
        self._root = file.id
        self._sizes = sizes
        self._ids = {name: number for number, name in enumerate(sizes)}
        self._scales: dict[str, h5py.h5d.DatasetID] = {}
        self.offsets: dict[str, int] = {}
        properties = f"version=2,hdf5={h5py.version.hdf5_version},h5py={h5py.version.version}"
        _attach(self._root, "_NCProperties", np.bytes_(properties))
        for name, value in attributes.items():
            _attach(self._root, name, value)

    def dimension(self, name: str, values: npt.NDArray[Any] | None = None) -> None:
        """Make a dimension, with ``values`` as a variable of its own name too."""
        size = self._sizes[name]
        dtype = h5py.h5t.IEEE_F32BE if values is None else h5py.h5t.py_create(values.dtype)
        scale = self._dataset(name, (size,), dtype)
        _attach(scale, "_Netcdf4Dimid", np.int32(self._ids[name]))
        h5py.h5ds.set_scale(
            scale, (f"{NO_VARIABLE}{size:10d}" if values is None else name).encode()
        )
        if values is not None:
            _attach(scale, "_Netcdf4Coordinates", np.array([self._ids[name]], np.int32))
            scale.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        self._scales[name] = scale

    def variable(
        self,
        name: str,
        dims: tuple[str, ...],
        dtype: Any,
        attributes: Mapping[str, str],
        values: npt.NDArray[Any] | None = None,
    ) -> None:
        """Make a variable on dimensions that are made.

        Without ``values`` its room is allocated and nothing written.

        Raises ValueError for the name of a dimension: NCO, R and others take such a variable for
        the dimension's own.
        """
        if name in self._sizes:
            raise ValueError(f"variable {name!r} has the name of a dimension")
        kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(dtype))
        variable = self._dataset(
            name, tuple(self._sizes[dim] for dim in dims), kind, allocate=values is None
        )
        for axis, dim in enumerate(dims):
            h5py.h5ds.attach_scale(variable, self._scales[dim], axis)
        _attach(
            variable, "_Netcdf4Coordinates", np.array([self._ids[dim] for dim in dims], np.int32)
        )
        _attach(variable, "_Netcdf4Dimid", np.int32(self._ids[dims[0]]))
        # NCO reads "coordinates" in the older type of text alone, which is ASCII
        for (
            key,
            value,
        ) in attributes.items():
            _attach(variable, key, np.bytes_(value) if value.isascii() else value)
        if values is not None:
            variable.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values))
        self.offsets[name] = variable.get_offset()

    def _dataset(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, allocate: bool = False
    ) -> h5py.h5d.DatasetID:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_obj_track_times(False)  # equal content, equal bytes
        if allocate:
            creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        return h5py.h5d.create(
            self._root, name.encode(), dtype, h5py.h5s.create_simple(shape), creation
        )


def _attach(place: Any, name: str, value: Any) -> None:
    """Write an attribute: text of any length, a number, an array of numbers, or fixed bytes."""
    if isinstance(value, str):
        data = np.array(value, dtype=TEXT)
        kind = h5py.h5t.py_create(TEXT, logical=True)
    else:
        data = np.asarray(value)
        kind = h5py.h5t.py_create(data.dtype)
    space = h5py.h5s.create_simple(data.shape) if data.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    attribute = h5py.h5a.create(place, name.encode(), kind, space)
    attribute.write(data, mtype=h5py.h5t.py_create(data.dtype))
