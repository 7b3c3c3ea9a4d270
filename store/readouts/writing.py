"""Writing a readout: a netCDF-4 file that appears whole or not at all, its record behind it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import xxhash

from actlas.store.errors import DamagedStore, LaterRecord, StoreError
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import Json
from actlas.store.io.durable import make_folder, naming, publish_file, remedy_of, reserve
from actlas.store.io.workspace import workspace
from actlas.store.readouts.record import (
    ENDINGS,
    FOLDER,
    VIEWS,
    Part,
    ReadoutRecord,
    StoredArray,
    file_name,
    read_readout,
)
from actlas.store.readouts.verify import is_damaged, readout_problems


@dataclass(frozen=True)
class NewArray:
    """An array to be stored: little-endian bytes in C order, handed out piece by piece, once."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str  # of VIEWS
    meaning: str
    pieces: Callable[[], Iterable[bytes | memoryview]]


def add_readout(
    store: Path, model: Json, part: Part, facts: Json, arrays: Mapping[str, NewArray]
) -> tuple[Path, bool]:
    """Store a readout; return its path, and whether it is new.

    One that is there and whole stays as it is; a damaged one is replaced. Raises StoreError where
    the disk cannot take it.
    """
    folder = store / FOLDER
    path = folder / file_name(model, part)
    make_folder(folder)
    if path.exists() and not is_damaged(path):
        read_readout(path)  # one of a later version stays, and is no use here
        return path, False
    try:
        with workspace(folder) as work:
            draft = work.folder / path.name
            _write(draft, model, part, facts, arrays)
            _drop_damaged(path)
            new = publish_file(draft, path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}: {remedy_of(error)}"
        ) from error
    return path, new


def has_readout(store: Path, model: Json, part: Part) -> bool:
    """Whether the store has a readout of a model whose record is valid; its bytes are not read.

    Raises LaterRecord for one of a later version of actlas.
    """
    try:
        read_readout(store / FOLDER / file_name(model, part))
    except LaterRecord:
        raise
    except (FileNotFoundError, DamagedStore):
        return False
    return True


def carry_readouts(store: Path, model: Json, folder: Path) -> list[Path]:
    """Copy the readouts of a model from a store beside an export in ``folder``; return the copies.

    Those that are there and whole stay as they are. Raises DamagedStore for one that was altered,
    StoreError where the disk cannot take it.
    """
    found = []
    for part in ENDINGS:
        path = store / FOLDER / file_name(model, part)
        copy = folder / FOLDER / path.name
        if not path.is_file():
            continue
        for checked in readout_problems(path):
            if checked.problems:
                raise DamagedStore(checked.problems[0])
        found.append(copy)
        if copy.exists() and not is_damaged(copy):
            continue
        make_folder(copy.parent)
        try:
            with workspace(copy.parent) as work:
                draft = work.folder / path.name
                shutil.copyfile(path, draft)
                with draft.open("rb") as file:
                    os.fsync(file.fileno())
                _drop_damaged(copy)
                publish_file(draft, copy)
        except OSError as error:
            raise StoreError(
                f"cannot write {copy}: {error.strerror or error}: {remedy_of(error)}"
            ) from error
    return found


def _drop_damaged(path: Path) -> None:
    """Remove a damaged file, which is looked at again: another may have made it meanwhile."""
    if path.exists() and is_damaged(path):
        with suppress(FileNotFoundError):
            path.unlink()


def _write(
    draft: Path, model: Json, part: Part, facts: Json, arrays: Mapping[str, NewArray]
) -> None:
    # HDF5 is imported where it writes
    from actlas.store.format.skeleton import Image

    image = Image()
    attributes = {"actlas_model": str(model["weights"]), "actlas_part": part}
    places = _write_skeleton(image, arrays, attributes)
    size = image.size
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with naming(draft):
            reserve(descriptor, size)
            for offset, piece in image.pieces():
                _write_all(descriptor, piece, offset)
            stored = {}
            for name, array in arrays.items():
                stored[name] = _write_array(descriptor, array, places[name])
            spans = [array.span for array in stored.values()]
            metadata = metadata_checksum_of(descriptor, size, spans)
            record = ReadoutRecord(part, model, facts, stored, size, metadata)
            _write_all(descriptor, memoryview(record.tail()), size)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_skeleton(
    image: object, arrays: Mapping[str, NewArray], attributes: Json
) -> Mapping[str, int]:
    """Leave room for every array; return where each begins."""
    import h5py

    from actlas.store.format.netcdf import Netcdf
    from actlas.store.format.skeleton import ALIGNMENT, LIBVER

    sizes: dict[str, int] = {}
    for array in arrays.values():
        sizes.update(zip(array.dims, array.shape, strict=True))
    aligned = {"alignment_threshold": ALIGNMENT, "alignment_interval": ALIGNMENT}
    with h5py.File(image, "w", libver=LIBVER, track_order=False, **aligned) as file:
        netcdf = Netcdf(file, sizes, {"Conventions": "CF-1.11", **attributes})
        for name in sizes:
            netcdf.dimension(name)
        for name, array in arrays.items():
            netcdf.variable(name, array.dims, _hdf5(array.dtype), {"long_name": array.meaning})
    return netcdf.offsets


def _hdf5(dtype: str) -> object:
    from actlas.store.format.skeleton import hdf5_type

    return hdf5_type("bfloat16") if dtype == "bfloat16" else VIEWS[dtype]


def _write_array(descriptor: int, array: NewArray, offset: int) -> StoredArray:
    digest, place = xxhash.xxh3_64(), offset
    for piece in array.pieces():
        view = memoryview(piece).cast("B")
        digest.update(view)
        _write_all(descriptor, view, place)
        place += len(view)
    stored = StoredArray(array.dims, array.shape, array.dtype, offset, digest.hexdigest())
    if place != stored.span[1]:
        raise ValueError(f"{place - offset} bytes, expected {stored.nbytes}")
    return stored


def _write_all(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def unneeded(store: Path, models: Sequence[Json]) -> list[Path]:
    """Return the readouts in a store that are of none of ``models``."""
    from actlas.store.readouts.verify import readout_paths

    needed: set[str] = set()
    for model in models:
        if {"weights", "config"} <= model.keys():
            needed.update(file_name(model, part) for part in ENDINGS)
    return [path for path in readout_paths(store) if path.name not in needed]
