"""The HDF5 side of a shard, held against its commit.

What other programs read lies where the commit says, and nothing else.

Our readers never open a shard with HDF5. Others do, and a file may lead them astray: external and
soft links, external storage, virtual datasets, sizes without bytes. ``verify`` refuses them,
looking at the root alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.skeleton import hdf5_type, site_dims
from actlas.store.labels.labels import file_dims, file_name

MOST_LINKS = 1000
MOST_ATTRIBUTES = 100


def hdf5_problems(path: Path, commit: CommitRecord) -> Iterator[str]:
    """Yield what HDF5 says of a shard whose bytes are as committed and its commit does not.

    Nothing for a valid one.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            links = file.id.links
            if (
                file.id.get_num_objs() > MOST_LINKS
                or h5py.h5a.get_num_attrs(file.id) > MOST_ATTRIBUTES
            ):
                yield "too many variables or attributes"
                return
            found: list[bytes] = []
            links.iterate(found.append)
            yield from _missing(found, commit)
            for name in found:
                problem = _problem(file.id, name, commit)
                if problem:
                    yield f"{name.decode(errors='replace')!r} is {problem}"
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as error:
        yield f"no readable HDF5 file ({str(error)[:200]})"


def plain_problems(path: Path, places: Mapping[str, int], most: int) -> Iterator[str]:
    """Yield what in a file's HDF5 part is no plain variable of it, or is not at its place.

    most: variables, beyond which it is not looked through.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            if len(file) > most:
                yield f"{len(file)} variables, expected at most {most}"
                return
            absent = sorted(places.keys() - set(file))
            yield from (f"no variable {name!r}" for name in absent[:1])
            for name in file:
                if not _is_plain(file, name, places.get(name)):
                    what = "a link, or not a variable of this file as its record has it"
                    yield f"{name!r} is {what}"
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as error:
        yield f"no readable HDF5 file ({str(error)[:200]})"


def _is_plain(file: h5py.File, name: str, offset: int | None) -> bool:
    """Whether ``name`` is a variable of the file itself, at ``offset`` where the record has one."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return False
    variable = file[name]
    own = isinstance(variable, h5py.Dataset) and not variable.is_virtual and not variable.external
    return own and offset in (None, variable.id.get_offset())


def _missing(found: list[bytes], commit: CommitRecord) -> Iterator[str]:
    names = {name.decode(errors="replace") for name in found}
    sites = commit.sites if commit.first_rows[-1] else ()  # of no rows there are no variables
    missing = {*sites, *map(file_name, commit.labels)} - names
    if missing:
        yield f"without {', '.join(sorted(missing))}"


def _problem(root: h5py.h5g.GroupID, name: bytes, commit: CommitRecord) -> str | None:
    """Return what is wrong with one object of the root."""
    if root.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        return "a link to somewhere else"
    if h5py.h5o.get_info(root, name).type != h5py.h5o.TYPE_DATASET:
        return "a group or a named type, expected a variable"
    dataset = h5py.h5d.open(root, name)
    creation = dataset.get_create_plist()
    if (
        creation.get_layout() != h5py.h5d.CONTIGUOUS
        or creation.get_external_count()
        or creation.get_nfilters()
    ):
        return "stored elsewhere, in chunks or filtered, expected contiguous"
    if h5py.h5a.get_num_attrs(dataset) > MOST_ATTRIBUTES:
        return "loaded with too many attributes"
    return _differs(dataset, name.decode(errors="replace"), commit)


def _differs(dataset: h5py.h5d.DatasetID, name: str, commit: CommitRecord) -> str | None:
    """Return what HDF5 says of a variable otherwise than the commit."""
    sizes, labels = (
        _sizes(commit),
        {file_name(label): stored for label, stored in commit.labels.items()},
    )
    if name in commit.sites:
        site = commit.sites[name]
        wanted = Variable(site.layout.shape, site.offset, hdf5_type(site.layout.dtype))
    elif name in labels:
        label = labels[name]
        wanted = Variable(label.shape, label.offset, np.dtype(label.dtype))
    elif name in sizes:
        same = dataset.shape == (sizes[name],)
        return None if same else f"of shape {dataset.shape}, expected ({sizes[name]},)"
    else:
        return "unknown to the commit"
    found = (dataset.shape, dataset.get_offset())
    if found != (wanted.shape, wanted.offset):
        return f"of shape {found[0]} at {found[1]}, expected {wanted.shape} at {wanted.offset}"
    kind = (
        wanted.dtype
        if isinstance(wanted.dtype, h5py.h5t.TypeID)
        else h5py.h5t.py_create(wanted.dtype)
    )
    return None if dataset.get_type().equal(kind) else "of another type"


@dataclass(frozen=True)
class Variable:
    """What the commit says of a variable."""

    shape: tuple[int, ...]
    offset: int
    dtype: Any


def _sizes(commit: CommitRecord) -> dict[str, int]:
    """Return dimension → size; ``layer`` and ``depth`` are variables as well."""
    sizes: dict[str, int] = {}
    for site in commit.sites.values():
        dims = site_dims(site.layout, commit.kept is not None)
        sizes.update(zip(dims, site.layout.shape, strict=True))
    for label in commit.labels.values():
        sizes.update(zip(file_dims(label.dims), label.shape, strict=True))
    return sizes
