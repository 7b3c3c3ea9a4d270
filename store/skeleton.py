"""The netCDF-4 skeleton of a shard: every variable allocated at a known offset, small ones written, bulk left to pwrite.

HDF5 has closed the file before the first activation is written, so it is never writing when anything can fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import numpy.typing as npt

from actlas.store.labels import TEXT_DIM, TOKEN_LABELS, Labels, text_to_bytes
from actlas.store.schema import BLOCK_DIMS, SiteLayout, StoredDtype, StoredLabel

LIBVER = ("v108", "v108")  # checksummed metadata, readable by every HDF5 since 1.8
ALIGNMENT = 4096  # a page, so that a memory map of a site begins on one
MARGIN = 1 << 20  # bytes that labels and HDF5's own records may take, for the check before HDF5 opens the file


def write_skeleton(path: Path, layouts: Sequence[SiteLayout], labels: Labels, attributes: dict[str, str]) -> None:
    """Create ``path`` with all dimensions, labels and attributes, and room for every site, uninitialised."""
    with h5netcdf.File(path, "x", libver=LIBVER, alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as file:
        file.attrs.update({"Conventions": "CF-1.11", **attributes})
        file.dimensions = _dimensions(layouts, labels)
        for name in BLOCK_DIMS:
            if name in file.dimensions:
                _write_small(file, name, (name,), np.arange(file.dimensions[name].size, dtype=np.int32))
        _write_labels(file, labels)
        for layout in layouts:
            _allocate(file, layout)


def offsets(path: Path, names: Sequence[str]) -> dict[str, int]:
    """Return the file offset of each contiguous variable of ``names``."""
    with h5py.File(path, "r") as file:
        return {name: _hdf5_variable(file, name).id.get_offset() for name in names}


def label_records(path: Path, labels: Labels) -> dict[str, StoredLabel]:
    """Return where each label of the skeleton lies, for the commit."""
    arrays = {name: array for name, (_, array) in _label_arrays(labels).items()}
    places = offsets(path, list(arrays))
    return {
        name: StoredLabel(dims, array.shape, array.dtype.str, places[name])
        for name, (dims, array) in _label_arrays(labels).items()
    }


def _hdf5_variable(file: h5py.File, name: str) -> h5py.Dataset:
    # netCDF-4 files a variable that shares a dimension's name, but not its dims, under this prefix
    return file.get(f"_nc4_non_coord_{name}") or file[name]


def _dimensions(layouts: Sequence[SiteLayout], labels: Labels) -> dict[str, int]:
    sizes = {"token": labels.tokens, "sentence": len(labels.text)}
    for layout in layouts:
        sizes.update(zip(layout.dims, layout.shape, strict=True))
    for dims, array in _label_arrays(labels).values():
        sizes.update(zip(dims, array.shape, strict=True))
    return sizes


def _label_arrays(labels: Labels) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
    """Return name → (dims, array) of every label, texts as bytes."""
    arrays: dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]] = {
        name: (("token",), array) for name, array in labels.token.items()
    }
    arrays["row_size"] = (("sentence",), labels.row_size)
    arrays["text"] = (("sentence", TEXT_DIM), text_to_bytes(labels.text))
    for name, column in labels.columns.items():
        if column.dtype.kind == "U":
            arrays[name] = (("sentence", f"{name}_bytes"), text_to_bytes(column))
        else:
            arrays[name] = (("sentence",), column)
    return arrays


def _write_labels(file: h5netcdf.File, labels: Labels) -> None:
    for name, (dims, array) in _label_arrays(labels).items():
        variable = _write_small(file, name, dims, array)
        if array.dtype.kind == "S":
            variable.attrs["_Encoding"] = "utf-8"
        if name in TOKEN_LABELS:
            variable.attrs["long_name"] = TOKEN_LABELS[name]
    file.variables["row_size"].attrs.update({"long_name": "tokens of the sentence", "sample_dimension": "token"})
    file.variables["text"].attrs["long_name"] = "the sentence"


def _write_small(file: h5netcdf.File, name: str, dims: tuple[str, ...], array: npt.NDArray[Any]) -> h5netcdf.Variable:
    return file.create_variable(name, dims, dtype=array.dtype, data=array)


def _allocate(file: h5netcdf.File, layout: SiteLayout) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    variable = file.create_variable(layout.site, layout.dims, dtype=_hdf5_type(layout.dtype), dcpl=creation)
    variable.attrs["long_name"] = layout.description
    labels = (*TOKEN_LABELS, "layer") if layout.dims[0] == "layer" else tuple(TOKEN_LABELS)
    variable.attrs["coordinates"] = " ".join(label for label in labels if label not in layout.dims)


def _hdf5_type(dtype: StoredDtype) -> Any:
    """Return NumPy's dtype, or HDF5's 16-bit float with bfloat16's 8-bit exponent, which readers widen to float32."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    bfloat16 = h5py.h5t.IEEE_F16LE.copy()
    bfloat16.set_fields(15, 7, 8, 0, 7)  # sign at bit 15; exponent of 8 bits at 7; mantissa of 7 bits at 0
    bfloat16.set_ebias(127)
    return bfloat16
