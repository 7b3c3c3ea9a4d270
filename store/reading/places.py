"""Where the sites and labels of a run's units lie: in files of their own, or as rows of joined ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, missing
from actlas.store.format.digest import rows_checksum
from actlas.store.format.schema import Commit, SharedSite, StoredLabel, StoredSite, Unit
from actlas.store.io.safe_open import opened
from actlas.store.labels.labels import TOKEN_LABELS, Labels, bytes_to_text
from actlas.store.runs.joined import Holding, Joined


class Place(NamedTuple):
    """Where some sites of a unit are stored: by a commit of its own, or as unit ``member`` of a joined file."""

    holding: Holding
    member: int
    holds: frozenset[str]

    def stored(self, site: str) -> StoredSite:
        """Return where the own blocks of a site lie, one of the holding's ``sites``."""
        return (
            self.holding.sites[site]
            if isinstance(self.holding, Commit)
            else self.holding.site(self.member, site)
        )

    @property
    def shared(self) -> Mapping[str, SharedSite]:
        """What is shared with the baseline."""
        return (
            self.holding.shared
            if isinstance(self.holding, Commit)
            else self.holding.shared_of(self.member)
        )


def places_of(holdings: Iterable[Holding]) -> dict[int, list[Place]]:
    """Return number of a unit → where it is stored."""
    units: dict[int, list[Place]] = {}
    for holding in holdings:
        if isinstance(holding, Joined):
            for index in holding.present:
                units.setdefault(holding.units[index].number, []).append(
                    Place(holding, index, holding.holds(index))
                )
        else:
            units.setdefault(holding.unit.number, []).append(Place(holding, 0, holding.holds))
    return units


def label_places(places: Sequence[Place]) -> Iterator[tuple[Holding, Mapping[str, StoredLabel]]]:
    """Yield where the labels of the units at ``places`` lie, in order; of units that follow each other in a file at once."""
    start = 0
    for number, place in enumerate(places):
        after = places[number + 1] if number + 1 < len(places) else None
        if isinstance(place.holding, Commit):
            yield place.holding, place.holding.labels
        elif (
            after is None or after.holding is not place.holding or after.member != place.member + 1
        ):
            yield place.holding, place.holding.labels_of(places[start].member, place.member)
        else:
            continue
        start = number + 1


def read_labels(
    path: Path, size: int, places: Mapping[str, StoredLabel], text: Sequence[str] | None = None
) -> Labels:
    """Read structural labels from a shard of ``size`` bytes; raises DamagedStore.

    text: its texts, where they are not to be read.
    """
    with opened_shard(path, size) as descriptor:
        wanted = {name: label for name, label in places.items() if name != "text" or text is None}
        arrays = {name: read_label(descriptor, label) for name, label in wanted.items()}
    try:
        text = bytes_to_text(arrays.pop("text")) if text is None else text
        row_size = arrays.pop("row_size")
        token = {name: arrays.pop(name) for name in TOKEN_LABELS}
        return Labels(token, row_size, text, {})
    except ValueError as error:  # no UTF-8 any more, or rows that do not add up
        raise DamagedStore(f"{path}: labels were altered ({error}): see `actlas verify`") from error


def check_labels(holdings: Iterable[tuple[Path, Holding]]) -> None:
    """Raise DamagedStore, naming label and unit, where labels of ``holdings`` were altered.

    holdings: each with the path of its file.
    """
    files: dict[Path, dict[int, Holding]] = {}  # many units may lie in one file, or in one holding
    for path, holding in holdings:
        files.setdefault(path, {})[id(holding)] = holding
    for path, found in files.items():
        with opened_shard(path, next(iter(found.values())).size) as descriptor:
            for holding in found.values():
                _check_labels_of(descriptor, path, holding)


def _check_labels_of(descriptor: int, path: Path, holding: Holding) -> None:
    for name, label in holding.labels.items():
        unit = altered_rows(holding, name, read_label(descriptor, label))
        if unit is not None:
            what = f"{name} of unit {unit.number}, checksum differs"
            raise DamagedStore(f"{path}: labels were altered ({what}): see `actlas verify`")


def altered_rows(holding: Holding, name: str, rows: npt.NDArray[Any]) -> Unit | None:
    """Return the first unit whose part of a label's ``rows`` is not as it was stored."""
    if isinstance(holding, Commit):
        return None if rows_checksum(rows) == holding.labels[name].checksum else holding.unit
    rows_of_units = (
        holding.first_tokens if holding.labels[name].dims[0] == "token" else holding.first_sentences
    )
    width = rows.nbytes // len(rows)
    ends = [row * width for row in rows_of_units]
    content = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
    digest = xxhash.xxh3_64_hexdigest  # a file may have 10⁴ units
    found = [digest(content[start:end]) for start, end in pairwise(ends)]
    if "".join(found) == holding.label_checksums[name]:
        return None
    altered = (
        index for index in holding.present if found[index] != holding.label_checksum(name, index)
    )
    return next((holding.units[index] for index in altered), None)


@contextmanager
def opened_shard(path: Path, size: int) -> Iterator[int]:
    """Open a shard of the committed size; raises DamagedStore where it is missing or has another."""
    try:
        with opened(path) as (descriptor, found):
            if found.st_size != size:
                raise DamagedStore(
                    f"{path} has {found.st_size} bytes, its commit says {size}: see `actlas verify`"
                )
            yield descriptor
    except FileNotFoundError as error:
        raise DamagedStore(missing(path)) from error


def read_label(descriptor: int, label: StoredLabel) -> npt.NDArray[Any]:
    """Read the array of a label from an open shard."""
    dtype = np.dtype(label.dtype)
    count = int(np.prod(label.shape, dtype=np.int64))
    content = os.pread(descriptor, count * dtype.itemsize, label.offset)
    return np.frombuffer(content, dtype, count).reshape(label.shape)
