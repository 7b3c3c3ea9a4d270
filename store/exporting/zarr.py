"""Zarr: a group that xarray opens as it opens a run's own view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.store.exporting.content import RECORD, Content, missing_library, widened
from actlas.store.format.schema import BLOCK_DIMS, SiteLayout, canonical
from actlas.store.labels.special import special_of
from actlas.store.reading.view import token_coordinates

CHUNK = 32 << 20  # bytes of a chunk, at most, before compression


def write(content: Content, folder: Path) -> None:
    """Write a group of format 2 with consolidated metadata: ``xarray.open_zarr(folder)``.

    A site is (layer, token, …), a chunk of it some tokens of one layer; labels are coordinates.
    """
    try:
        import zarr
    except ImportError as error:
        raise missing_library("zarr", "zarr") from error
    plan = content.plan
    labels = token_coordinates(plan.labels, special_of(plan.run.description))
    dims = {each.dims[0]: each.numbers for each in plan.layouts if each.dims[0] in BLOCK_DIMS}
    numbers = {dim: (dim, np.array(each)) for dim, each in dims.items()}
    said = canonical(content.record).decode()
    skeleton = xr.Dataset(coords={**labels, **numbers}, attrs={"actlas": said})
    skeleton.to_zarr(folder, mode="w", zarr_format=2, consolidated=False)
    group = zarr.open_group(folder, mode="r+", zarr_format=2)
    for layout in plan.layouts:
        chunk = min(layout.block_shape[0], max(1, CHUNK // layout.row_bytes))
        array = _array(group, layout, chunk)
        for column in (each for each in content.columns if each.layout is layout):
            for first, rows in regular(content.blocks(column), chunk):
                place = slice(first, first + len(rows))
                array[place if column.number is None else (column.block, place)] = widened(rows)
    zarr.consolidate_metadata(group.store, zarr_format=2)
    (folder / RECORD).write_bytes(said.encode() + b"\n")


def _array(group: Any, layout: SiteLayout, chunk: int) -> Any:
    chunks = (chunk, *layout.block_shape[1:])
    return group.create_array(
        layout.site,
        shape=layout.shape,
        chunks=(1, *chunks) if len(chunks) < len(layout.shape) else chunks,
        dtype="<f2" if layout.dtype == "float16" else "<f4",
        attributes={"_ARRAY_DIMENSIONS": list(layout.dims), "long_name": layout.description},
    )


def regular(
    blocks: Iterator[npt.NDArray[Any]], size: int
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield the rows of ``blocks`` ``size`` at a time, the rest last, each with its first row."""
    first, held, count = 0, [], 0
    for rows in blocks:
        held.append(rows)
        count += len(rows)
        while count >= size:
            whole = np.concatenate(held) if len(held) > 1 else held[0]
            yield first, whole[:size]
            first, count = first + size, count - size
            held = [whole[size:]] if count else []
    if count:
        yield first, np.concatenate(held)
