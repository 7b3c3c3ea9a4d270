"""The HDF5 side of a shard, held against its commit: what other programs are told lies where the commit says, and nothing else.

Our readers never open a shard with HDF5. Others do, and a file may lead them astray: external and soft links, external storage,
virtual datasets, sizes without bytes. ``verify`` refuses them, looking at the root alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from actlas.store.schema import Commit
from actlas.store.skeleton import hdf5_type

MOST_LINKS = 1000
MOST_ATTRIBUTES = 100
PREFIX = "_nc4_non_coord_"


def structure_problems(path: Path, commit: Commit) -> Iterator[str]:
    """Yield what HDF5 says of a shard whose bytes are as committed and its commit does not; nothing for a sound one."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            links = file.id.links
            if file.id.get_num_objs() > MOST_LINKS or h5py.h5a.get_num_attrs(file.id) > MOST_ATTRIBUTES:
                yield "too many variables or attributes"
                return
            found: list[bytes] = []
            links.iterate(found.append)
            yield from _missing(found, commit)
            for name in found:
                problem = _problem(file.id, name, commit)
                if problem:
                    yield f"{name.decode(errors='replace')!r} is {problem}"
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        yield f"no readable HDF5 file ({str(error)[:200]})"


def _missing(found: list[bytes], commit: Commit) -> Iterator[str]:
    names = {name.decode(errors="replace").removeprefix(PREFIX) for name in found}
    lacking = {*commit.sites, *commit.labels} - names
    if lacking:
        yield f"without {', '.join(sorted(lacking))}"


def _problem(root: h5py.h5g.GroupID, name: bytes, commit: Commit) -> str | None:
    """Return what is wrong with one object of the root."""
    if root.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        return "a link to somewhere else"
    if h5py.h5o.get_info(root, name).type != h5py.h5o.TYPE_DATASET:
        return "a group or a named type, wanted a variable"
    dataset = h5py.h5d.open(root, name)
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5py.h5d.CONTIGUOUS or creation.get_external_count() or creation.get_nfilters():
        return "stored elsewhere, in chunks or filtered, wanted contiguous"
    if h5py.h5a.get_num_attrs(dataset) > MOST_ATTRIBUTES:
        return "loaded with too many attributes"
    return _differs(dataset, name.decode(errors="replace"), commit)


def _differs(dataset: h5py.h5d.DatasetID, name: str, commit: Commit) -> str | None:
    """Return what HDF5 says of a variable otherwise than the commit."""
    plain = name.removeprefix(PREFIX)
    sizes = _sizes(commit)
    if plain in commit.sites:
        site = commit.sites[plain]
        wanted = (site.layout.shape, site.offset, hdf5_type(site.layout.dtype))
    elif plain in commit.labels and (name != plain or plain not in sizes):
        label = commit.labels[plain]
        wanted = (label.shape, label.offset, np.dtype(label.dtype))
    elif name in sizes:
        return None if dataset.shape == (sizes[name],) else f"of shape {dataset.shape}, wanted ({sizes[name]},)"
    else:
        return "unknown to the commit"
    shape, offset, dtype = wanted
    if (dataset.shape, dataset.get_offset()) != (shape, offset):
        return f"of shape {dataset.shape} at {dataset.get_offset()}, wanted {shape} at {offset}"
    kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(dtype)
    return None if dataset.get_type().equal(kind) else "of another type"


def _sizes(commit: Commit) -> dict[str, int]:
    """Return dimension → size; ``layer`` and ``depth`` are variables as well."""
    sizes: dict[str, int] = {}
    for site in commit.sites.values():
        sizes.update(zip(site.layout.dims, site.layout.shape, strict=True))
    for label in commit.labels.values():
        sizes.update(zip(label.dims, label.shape, strict=True))
    return sizes
