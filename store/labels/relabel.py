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
    Columns,
    Encoded,
    check_columns,
    columns_digest,
    encode,
    variable_names,
)
from actlas.store.labels.record import FOLDER, LabelRecord, Version, newest_record, tailed, versions
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


def label_change(run: Run, columns: Columns, digest: str | None = None) -> LabelChange | None:
    """Return what storing ``columns`` would change; None where the run has these very labels.

    digest: of ``columns``, where it is known. Raises InputError for columns that cannot be stored.
    """
    check_columns(columns)
    digest = digest or columns_digest(encode(columns))
    before: Columns = {}
    lost = None
    try:
        if newest_record(run.label_home, run.sentences).digest == digest:
            _ = run.columns  # that they can be read
            return None
        before = run.columns
    except DamagedStore as error:
        lost = str(error)
    common = [name for name in columns if name in before]
    differing = {name: _differing(before[name], columns[name]) for name in common}
    return LabelChange(
        _next_number(run.label_home),
        digest,
        tuple(name for name in columns if name not in before),
        tuple(name for name in before if name not in columns),
        {name: count for name, count in differing.items() if count is not None},
        lost,
    )


def _differing(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> int | None:
    """Return how many values differ; None where not even the dtype does."""
    left, right = one.tolist(), other.tolist()
    count = sum(a != b and not (a != a and b != b) for a, b in zip(left, right, strict=True))
    same = columns_digest(encode({"": one})) == columns_digest(encode({"": other}))
    return None if same else count


def relabel(run: Run, columns: Columns, source: str) -> LabelChange | None:
    """Store ``columns`` as labels of ``run``, its baseline and all variants; return what changed.

    columns: name → values of all sentences, numbers or text. source: name of the input. Returns
    None where the run has these labels already.
    Raises InputError for columns that cannot be stored, OSError where the disk cannot take them.
    """
    change = label_change(run, columns)
    if change is not None:
        with workspace(run.label_home) as work:
            publish_labels(run.label_home, run.sentences, columns, source, work)
        run.refresh()
    return change


def publish_labels(
    run_folder: Path, sentences: int, columns: Columns, source: str, work: Workspace
) -> None:
    """Publish ``columns`` as a run's next version, unless the newest is equal and can be read."""
    check_columns(columns)
    if any(len(column) != sentences for column in columns.values()):
        raise ValueError(f"label columns do not all have {sentences} sentences")
    encoded = encode(columns)
    make_folder(run_folder / FOLDER)
    with folder_lock(run_folder / FOLDER):
        known = versions(run_folder)
        digest = columns_digest(encoded)
        if known and known[-1].digest == digest and _is_readable(run_folder, sentences):
            return
        number, previous = _next_number(run_folder), known[-1].digest if known else ""
        version = Version(run_folder / FOLDER, number, digest)
        record, content = _made(version, previous, sentences, encoded, source)
        if not publish_bytes(content, version.file, temporary=work.folder):
            raise DamagedStore(
                f"{version.file} exists although its number is new: the store was written by "
                "something else"
            )
        publish_bytes(seal(record.to_json()), version.json, temporary=work.folder)


def _next_number(run_folder: Path) -> int:
    return max((version.number for version in versions(run_folder)), default=0) + 1


def _is_readable(run_folder: Path, sentences: int) -> bool:
    from actlas.store.labels.verify import version_problems

    return not version_problems(versions(run_folder)[-1], run_folder.name, sentences)


def _made(
    version: Version, previous: str, sentences: int, encoded: Mapping[str, Encoded], source: str
) -> tuple[LabelRecord, bytes]:
    """Return the record of a version, and its file: the values and the record behind them."""
    # HDF5 is imported where it writes
    from actlas.store.format.skeleton import columns_image

    run = version.folder.parent.name
    names = variable_names(encoded)
    attributes = {"actlas_run": run, "actlas_labels": str(version.number)}
    image, offsets = columns_image(encoded, names, sentences, attributes)
    columns = located(encoded, names, offsets)
    content = bytearray(image.size)
    for offset, piece in image.pieces():
        content[offset : offset + len(piece)] = piece
    metadata = metadata_checksum_in(content, column_spans(columns, sentences))
    created = datetime.now(UTC).isoformat(timespec="seconds")
    places = (columns, image.size, metadata, source, created)
    record = LabelRecord(run, version.number, version.digest, previous, sentences, *places)
    if len(seal(record.to_json())) > LARGEST_RECORD:
        names_of = f"the names of {len(columns):,} label columns"
        raise InputError(f"{names_of} are too long for a record: shorten them")
    return record, bytes(content) + tailed(record)
