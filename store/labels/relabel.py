"""Relabelling: the next version of a run's label columns; older ones and shards stay as they are.

A version belongs to a run without edits and all of its variants, so no study can mix two. It is
written to a temporary file, synced, and linked to its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from actlas.store.errors import DamagedStore, InputError, quoted
from actlas.store.format.digest import metadata_checksum_in
from actlas.store.format.schema import seal
from actlas.store.io.durable import make_folder, publish_bytes
from actlas.store.io.locks import folder_lock
from actlas.store.io.safe_open import LARGEST_RECORD
from actlas.store.io.workspace import Workspace, workspace
from actlas.store.labels.columns import (
    SENTENCE,
    TOKEN,
    Columns,
    Counts,
    Encoded,
    check_columns,
    columns_digest,
    encode,
    variable_names,
)
from actlas.store.labels.record import FOLDER, LabelRecord, Version, tailed, versions
from actlas.store.labels.stored_columns import column_spans, located

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

MOST_LISTED = 5  # columns that a line names


@dataclass(frozen=True)
class LabelChange:
    """What a new version of labels changes."""

    version: int
    digest: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, int]  # column → values that differ, 0 where its dtype alone does
    lost: str | None = None  # why the version before could not be read

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @property
    def summary(self) -> str:
        """What changes, in a line."""
        parts = [f"{_listed(self.added)} added"] if self.added else []
        parts += [f"{_listed(self.removed)} removed"] if self.removed else []
        values = sum(self.changed.values())
        parts += (
            [
                f"{values:,} value{'' if values == 1 else 's'} of {_listed(tuple(self.changed))} "
                "changed"
            ]
            if self.changed
            else []
        )
        parts += [f"the version before could not be read ({self.lost})"] if self.lost else []
        return "; ".join(parts) or "no columns"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    shown = [name if name.isidentifier() else quoted(name) for name in names[:MOST_LISTED]]
    return ", ".join(shown) + more


def label_change(
    run: Run,
    columns: Columns | None,
    token_columns: Columns | None = None,
    digest: str | None = None,
) -> LabelChange | None:
    """Return what storing labels would change; None where the run has these very ones.

    columns, token_columns: labels of sentences and of tokens; None leaves those that the run has.
    digest: of both, where it is known. Raises InputError for columns that cannot be stored.
    """
    return _change(run, columns, token_columns, digest)[0]


def _change(
    run: Run, columns: Columns | None, token_columns: Columns | None, digest: str | None
) -> tuple[LabelChange | None, Columns, Columns]:
    """Return what changes, and all columns of the next version."""
    before: tuple[Columns, Columns] = ({}, {})
    present = lost = None
    run.refresh_labels()
    try:
        before = run.columns, run.token_columns
        present = run.labels_digest
    except DamagedStore as error:
        lost = str(error)
    given = columns, token_columns
    columns = before[0] if columns is None else columns
    kept = any(old for old, new in zip(before, given, strict=True) if new is None)
    token_columns = before[1] if token_columns is None else token_columns
    check_columns(columns, token_columns)
    if kept or digest is None:
        digest = columns_digest(encode(columns, token_columns))
    if present == digest:
        return None, columns, token_columns
    added, removed, changed = list[str](), list[str](), dict[str, int]()
    for old, new in zip(before, (columns, token_columns), strict=True):
        added += [name for name in new if name not in old]
        removed += [name for name in old if name not in new]
        for name in (name for name in new if name in old):
            count = _differing(old[name], new[name])
            changed |= {} if count is None else {name: count}
    number = _next_number(run.label_home)
    change = LabelChange(number, digest, tuple(added), tuple(removed), changed, lost)
    return change, columns, token_columns


def _differing(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> int | None:
    """Return how many values differ; None where not even the dtype does."""
    left, right = one.tolist(), other.tolist()
    count = sum(a != b and not (a != a and b != b) for a, b in zip(left, right, strict=True))
    same = columns_digest(encode({"": one})) == columns_digest(encode({"": other}))
    return None if same else count


def relabel(
    run: Run, columns: Columns | None, source: str, token_columns: Columns | None = None
) -> LabelChange | None:
    """Store labels of ``run``, its baseline and all variants; return what changed.

    columns: name → values of all sentences, numbers or text. token_columns: of all tokens. None
    leaves those that the run has. source: name of the input. Returns None where the run has these
    labels already.
    Raises InputError for columns that cannot be stored, OSError where the disk cannot take them.
    """
    change, *both = _change(run, columns, token_columns, None)
    if change is not None:
        with workspace(run.label_home) as work:
            publish_labels(run.label_home, run.counts, *both, source=source, work=work)
        run.refresh()
    return change


def publish_labels(
    run_folder: Path,
    counts: Counts,
    columns: Columns,
    token_columns: Columns,
    *,
    source: str,
    work: Workspace,
) -> None:
    """Publish labels as a run's next version, unless the newest is equal and can be read.

    counts: sentences and tokens of the run.
    """
    check_columns(columns, token_columns)
    for dim, given in ((SENTENCE, columns), (TOKEN, token_columns)):
        if any(len(column) != counts[dim] for column in given.values()):
            raise ValueError(f"label columns do not all have {counts[dim]} entries of {dim}")
    encoded = encode(columns, token_columns)
    make_folder(run_folder / FOLDER)
    with folder_lock(run_folder / FOLDER):
        known = versions(run_folder)
        digest = columns_digest(encoded)
        if known and known[-1].digest == digest and _is_readable(run_folder, counts):
            return
        number, previous = _next_number(run_folder), known[-1].digest if known else ""
        version = Version(run_folder / FOLDER, number, digest)
        record, content = _made(version, previous, counts, encoded, source)
        if not publish_bytes(content, version.file, temporary=work.folder):
            raise DamagedStore(
                f"{version.file} exists although its number is new: the store was written by "
                "something else"
            )
        publish_bytes(seal(record.to_json()), version.json, temporary=work.folder)


def _next_number(run_folder: Path) -> int:
    return max((version.number for version in versions(run_folder)), default=0) + 1


def _is_readable(run_folder: Path, counts: Counts) -> bool:
    from actlas.store.labels.verify import version_problems

    return not version_problems(versions(run_folder)[-1], run_folder.name, counts)


def _made(
    version: Version, previous: str, counts: Counts, encoded: Mapping[str, Encoded], source: str
) -> tuple[LabelRecord, bytes]:
    """Return the record of a version, and its file: the values and the record behind them."""
    # HDF5 is imported where it writes
    from actlas.store.format.skeleton import columns_image

    run = version.folder.parent.name
    names = variable_names(encoded)
    of_tokens = any(each.dim == TOKEN for each in encoded.values())
    counts = {SENTENCE: counts[SENTENCE], TOKEN: counts[TOKEN] if of_tokens else 0}
    attributes = {"actlas_run": run, "actlas_labels": str(version.number)}
    image, offsets = columns_image(encoded, names, counts, attributes)
    columns = located(encoded, names, offsets)
    content = bytearray(image.size)
    for offset, piece in image.pieces():
        content[offset : offset + len(piece)] = piece
    metadata = metadata_checksum_in(content, column_spans(columns, counts))
    created = datetime.now(UTC).isoformat(timespec="seconds")
    places = (columns, image.size, metadata, source, created, counts[TOKEN])
    sentences = counts[SENTENCE]
    record = LabelRecord(run, version.number, version.digest, previous, sentences, *places)
    if len(seal(record.to_json())) > LARGEST_RECORD:
        names_of = f"the names of {len(columns):,} label columns"
        raise InputError(f"{names_of} are too long for a record: shorten them")
    return record, bytes(content) + tailed(record)
