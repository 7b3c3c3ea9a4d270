"""Reading structural labels from shards, each against its checksum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, missing
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.schema import StoredLabel, Unit
from actlas.store.io.safe_open import Read, readable
from actlas.store.labels.labels import KEPT, TOKEN_LABELS, IntArray, Labels, bytes_to_text


def label_places(
    locations: Sequence[UnitLocation],
) -> Iterator[tuple[CommitRecord, Mapping[str, StoredLabel]]]:
    """Yield where the labels of units lie, in order.

    Units that follow each other in a file are yielded at once.
    """
    start = 0
    for number, (record, member) in enumerate(locations):
        after = locations[number + 1] if number + 1 < len(locations) else None
        if after is None or after.record is not record or after.member != member + 1:
            yield record, record.labels_of(locations[start].member, member)
            start = number + 1


def read_labels(
    path: Path, size: int, places: Mapping[str, StoredLabel], text: Sequence[str] | None = None
) -> Labels:
    """Read structural labels from a shard of ``size`` bytes; raises DamagedStore.

    Which tokens have rows in it is no label of theirs: see ``read_mask``.
    text: its texts, where they are not to be read.
    """
    with opened_shard(path, size) as read:
        left_out = {KEPT} if text is None else {KEPT, "text"}
        wanted = {name: label for name, label in places.items() if name not in left_out}
        arrays = {name: read_label(read, label) for name, label in wanted.items()}
    try:
        text = bytes_to_text(arrays.pop("text")) if text is None else text
        row_size = arrays.pop("row_size")
        token = {name: arrays.pop(name) for name in TOKEN_LABELS}
        return Labels(token, row_size, text, {})
    except ValueError as error:  # no UTF-8 any more, or rows that do not add up
        raise DamagedStore(f"{path}: labels were altered ({error}): see `actlas verify`") from error


def read_masks(path: Path, record: CommitRecord) -> list[IntArray]:
    """Return which tokens of each unit of a record with ``kept`` have rows: int32 (token,), 1 or 0.

    They are checked against their checksums and the record; raises DamagedStore.
    """
    with opened_shard(path, record.size) as read:
        whole = read_label(read, record.labels[KEPT])
    unit = altered_rows(record, KEPT, whole)
    masks = [whole[first:last] for first, last in pairwise(record.first_tokens)]
    for index in record.present:
        if int(masks[index].sum()) != record.rows[index] or not np.isin(masks[index], (0, 1)).all():
            unit = unit or record.units[index]
    if unit is not None:
        what = f"{KEPT} of unit {unit.number}"
        raise DamagedStore(f"{path}: labels were altered ({what}): see `actlas verify`")
    return masks


def check_labels(records: Iterable[tuple[Path, CommitRecord]]) -> None:
    """Raise DamagedStore, naming label and unit, where labels of ``records`` were altered.

    Each record comes with the path of its file.
    """
    found = {id(record): (path, record) for path, record in records}  # units may lie in one file
    for path, record in found.values():
        with opened_shard(path, record.size) as read:
            for name, label in record.labels.items():
                unit = altered_rows(record, name, read_label(read, label))
                if unit is not None:
                    what = f"{name} of unit {unit.number}, checksum differs"
                    raise DamagedStore(f"{path}: labels were altered ({what}): see `actlas verify`")


def altered_rows(record: CommitRecord, name: str, rows: npt.NDArray[Any]) -> Unit | None:
    """Return the first unit whose part of a label's ``rows`` is not as it was stored."""
    of_tokens = record.labels[name].dims[0] == "token"
    firsts = record.first_tokens if of_tokens else record.first_sentences
    width = rows.nbytes // len(rows)
    ends = [row * width for row in firsts]
    content = np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data
    digest = xxhash.xxh3_64_hexdigest  # a file may have 10⁴ units
    found = [digest(content[start:end]) for start, end in pairwise(ends)]
    if "".join(found) == record.label_checksums[name]:
        return None
    for index in record.present:
        if found[index] != record.label_checksum(name, index):
            return record.units[index]
    return None


@contextmanager
def opened_shard(path: Path, size: int) -> Iterator[Read]:
    """Open a shard of the committed size; yield what reads bytes of it.

    Raises DamagedStore where it is missing or has another.
    """
    try:
        with readable(path) as (read, found):
            if found != size:
                raise DamagedStore(
                    f"{path} has {found} bytes, its commit says {size}: see `actlas verify`"
                )
            yield read
    except FileNotFoundError as error:
        raise DamagedStore(missing(path)) from error


def read_label(read: Read, label: StoredLabel) -> npt.NDArray[Any]:
    """Read the array of a label from an open shard."""
    dtype = np.dtype(label.dtype)
    count = int(np.prod(label.shape, dtype=np.int64))
    content = read(count * dtype.itemsize, label.offset)
    return np.frombuffer(content, dtype, count).reshape(label.shape)
