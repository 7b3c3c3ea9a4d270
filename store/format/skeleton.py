"""The netCDF-4 skeleton of a shard.

Every variable allocated at a known offset, small ones written, numbers left to pwrite.

HDF5 writes it into memory alone: a full disk under an open HDF5 file leaks the file, and can end
the process.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from actlas.store.format.digest import rows_checksum
from actlas.store.format.netcdf import Netcdf
from actlas.store.format.schema import BLOCK_DIMS, SiteLayout, StoredDtype, StoredLabel, Unit
from actlas.store.labels.columns import (
    SENTENCE,
    TOKEN,
    Counts,
    Encoded,
    column_sizes,
    variable_names,
    write_columns,
)
from actlas.store.labels.labels import (
    INSTANCE,
    KEPT,
    KEPT_TOKEN,
    TEXT_DIM,
    TOKEN_LABELS,
    Labels,
    file_dims,
    file_name,
    text_to_bytes,
)
from actlas.store.labels.stored_columns import StoredColumn, located

LIBVER = ("v108", "v108")  # checksummed metadata, readable by every HDF5 since 1.8
ALIGNMENT = 4096  # a page, so that a memory map of a site begins on one
PAGE = 1 << 16  # bytes that an image keeps together
NO_COLUMNS: Mapping[str, Encoded] = MappingProxyType({})


class Image(io.RawIOBase):
    """A file in memory, for HDF5, that takes no room for what was never written."""

    def __init__(self) -> None:
        self.size = 0
        self._position = 0
        self._pages: dict[int, bytearray] = {}

    def pieces(self) -> list[tuple[int, memoryview]]:
        """Return offset and bytes of every stretch that was written, in order.

        All the others are zero.
        """
        return [
            (page * PAGE, memoryview(content)[: self.size - page * PAGE])
            for page, content in sorted(self._pages.items())
            if page * PAGE < self.size
        ]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, past the end too, and return it."""
        self._position = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        )
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the size; HDF5 only ever extends to what it allocated.

        It cuts only what it never wrote.
        """
        self.size = self._position if size is None else size
        return self.size

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``, with zeros where nothing was written."""
        view = memoryview(buffer).cast("B")[: max(0, self.size - self._position)]
        for page, inside, part in self._parts(view):
            part[:] = (
                self._pages[page][inside : inside + len(part)]
                if page in self._pages
                else bytes(len(part))
            )
        self._position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """Keep ``data``."""
        view = memoryview(data).cast("B")
        for page, inside, part in self._parts(view):
            self._pages.setdefault(page, bytearray(PAGE))[inside : inside + len(part)] = part
        self._position += len(view)
        self.size = max(self.size, self._position) if view else self.size
        return len(view)

    def _parts(self, view: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        """Yield page, place in it and bytes of what ``view`` covers from the position on."""
        done = 0
        while done < len(view):
            page, inside = divmod(self._position + done, PAGE)
            part = view[done : done + PAGE - inside]
            yield page, inside, part
            done += len(part)


def write_skeleton(
    image: Image,
    layouts: Sequence[SiteLayout],
    labels: Labels,
    attributes: dict[str, str],
    encoded: Mapping[str, Encoded] = NO_COLUMNS,
) -> dict[str, int]:
    """Write all dimensions, structural labels and attributes, and leave room for every site.

    Return the file offset of each variable: reading them again took longer than writing them.

    encoded: the columns of an export; in a shard the user's columns have no place.
    """
    sizes = _dimensions(layouts, labels)
    names = variable_names(encoded, _taken(layouts, labels))
    sizes.update(column_sizes(encoded, names))
    blocked = [layout for layout in layouts if layout.dims[0] in BLOCK_DIMS and labels.rows]
    numbers = {layout.dims[0]: np.array(layout.numbers, dtype=np.int32) for layout in blocked}
    aligned = {"alignment_threshold": ALIGNMENT, "alignment_interval": ALIGNMENT}
    with h5py.File(image, "w", libver=LIBVER, track_order=False, **aligned) as file:
        netcdf = Netcdf(file, sizes, {"Conventions": "CF-1.11", **attributes})
        for name in sizes:
            netcdf.dimension(name, numbers.get(name))
        for name, (dims, array) in _label_arrays(labels).items():
            netcdf.variable(
                file_name(name), file_dims(dims), array.dtype, _label_attributes(name, array), array
            )
        write_columns(netcdf, encoded, names)
        for layout in layouts if labels.rows else ():
            described = {"long_name": layout.description}
            if labels.kept is None:  # else their tokens are others
                own = ("layer",) if layout.dims[0] == "layer" else ()
                coordinates = (label for label in (*TOKEN_LABELS, *own) if label not in layout.dims)
                described["coordinates"] = " ".join(coordinates)
            dims = site_dims(layout, labels.kept is not None)
            netcdf.variable(layout.site, dims, hdf5_type(layout.dtype), described)
    return netcdf.offsets


def site_dims(layout: SiteLayout, kept: bool) -> tuple[str, ...]:
    """Return the dims of a site as its file calls them; kept: whether that has rows of some tokens.

    There ``token`` is of all, for their labels.
    """
    return tuple(KEPT_TOKEN if kept and dim == "token" else dim for dim in layout.dims)


def columns_image(
    encoded: Mapping[str, Encoded],
    names: Mapping[str, str],
    counts: Counts,
    attributes: Mapping[str, str],
) -> tuple[Image, dict[str, int]]:
    """Return a netCDF-4 file of columns alone, and the offset of each variable.

    It has so many sentences and tokens.
    """
    image, sizes = Image(), {INSTANCE: counts[SENTENCE], **column_sizes(encoded, names)}
    if counts[TOKEN]:
        sizes[TOKEN] = counts[TOKEN]
    with h5py.File(image, "w", libver=LIBVER, track_order=False) as file:
        netcdf = Netcdf(file, sizes, {"Conventions": "CF-1.11", **attributes})
        for name in sizes:
            netcdf.dimension(name)
        write_columns(netcdf, encoded, names)
    return image, netcdf.offsets


def column_records(
    offsets: Mapping[str, int],
    layouts: Sequence[SiteLayout],
    labels: Labels,
    encoded: Mapping[str, Encoded],
) -> dict[str, StoredColumn]:
    """Return where the columns lie in a skeleton that was written with them.

    offsets: of its variables.
    """
    names = variable_names(encoded, _taken(layouts, labels))
    return located(encoded, names, offsets)


def _taken(layouts: Sequence[SiteLayout], labels: Labels) -> frozenset[str]:
    return frozenset(_dimensions(layouts, labels)).union(layout.site for layout in layouts)


def label_records(offsets: Mapping[str, int], labels: Labels) -> dict[str, StoredLabel]:
    """Return where each structural label lies in the skeleton, and the checksum of its rows.

    offsets: of its variables.
    """
    return {
        name: StoredLabel(
            dims, array.shape, array.dtype.str, offsets[file_name(name)], rows_checksum(array)
        )
        for name, (dims, array) in _label_arrays(labels).items()
    }


def unit_label_checksums(labels: Labels, units: Sequence[Unit]) -> dict[str, str]:
    """Return label → the checksums of the rows of each of ``units``.

    One after the other in ``labels``.
    """
    found: dict[str, str] = {}
    for name, (dims, array) in _label_arrays(labels).items():
        counts = [unit.tokens if dims[0] == "token" else unit.sentences for unit in units]
        ends = list(accumulate(counts, initial=0))
        found[name] = "".join(rows_checksum(array[a:b]) for a, b in pairwise(ends))
    return found


def _dimensions(layouts: Sequence[SiteLayout], labels: Labels) -> dict[str, int]:
    sizes = {"token": labels.tokens, INSTANCE: len(labels.text)}
    for layout in layouts if labels.rows else ():
        sizes.update(zip(site_dims(layout, labels.kept is not None), layout.shape, strict=True))
    for dims, array in _label_arrays(labels).values():
        sizes.update(zip(file_dims(dims), array.shape, strict=True))
    return sizes


def _label_arrays(labels: Labels) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
    """Return name → (dims, array) of every structural label, texts as bytes."""
    arrays: dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]] = {
        name: (("token",), array) for name, array in labels.token.items()
    }
    if labels.kept is not None:
        arrays[KEPT] = (("token",), labels.kept.mask)
    arrays["row_size"] = (("sentence",), labels.row_size)
    arrays["text"] = (("sentence", TEXT_DIM), text_to_bytes(labels.text))
    return arrays


def _label_attributes(name: str, array: npt.NDArray[Any]) -> dict[str, str]:
    attributes = {"_Encoding": "utf-8"} if array.dtype.kind == "S" else {}
    if name in TOKEN_LABELS:
        attributes["long_name"] = TOKEN_LABELS[name]
    elif name == KEPT:
        attributes["long_name"] = f"1 where the token has a row along {KEPT_TOKEN}, else 0"
    elif name == "row_size":
        attributes |= {"long_name": "tokens of the sentence", "sample_dimension": "token"}
    elif name == "text":
        attributes["long_name"] = "the sentence"
    return attributes


def hdf5_type(dtype: StoredDtype) -> Any:
    """Return NumPy's dtype, or HDF5's 16-bit float with bfloat16's 8-bit exponent.

    Readers widen it to float32.
    """
    if dtype != "bfloat16":
        return np.dtype(dtype)
    bfloat16 = h5py.h5t.IEEE_F16LE.copy()
    # sign at bit 15; exponent of 8 bits at 7; mantissa of 7 bits at 0
    bfloat16.set_fields(15, 7, 8, 0, 7)
    bfloat16.set_ebias(127)
    return bfloat16
