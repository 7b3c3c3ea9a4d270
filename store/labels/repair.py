"""Repair of label records.

The newest stored again where it can be read, damaged older ones dropped.
"""

from __future__ import annotations

from itertools import pairwise

from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.io.durable import sync_folder
from actlas.store.io.safe_open import read_record
from actlas.store.io.workspace import check_own, workspace
from actlas.store.labels.columns import SENTENCE, TOKEN, Columns
from actlas.store.labels.record import (
    FOLDER,
    REMEDY,
    LabelRecord,
    Version,
    parsed,
    read_values,
    sealed_behind,
    versions,
)
from actlas.store.labels.relabel import publish_labels
from actlas.store.labels.stored_columns import of_dim
from actlas.store.labels.verify import label_problems, version_problems
from actlas.store.runs.run import Run


def repair_labels(run: Run) -> tuple[list[str], list[str]]:
    """Store the newest version again if it can be read, drop damaged older ones; say what was done.

    The second list is what is left: labels that are lost are never replaced by older ones.
    """
    folder, rewritten = run.folder, list[str]()
    check_own(folder / FOLDER)
    if later := _later(run):
        return [], [later]
    if not any(problems for _, _, problems in label_problems(folder, run.counts)):
        return [], []
    found = versions(folder)
    if not found or found[-1].number in [version.number for version in found[:-1]]:
        return [], [f"which labels run {run.name} has cannot be known: {REMEDY}"]
    if version_problems(found[-1], folder.name, run.counts):
        values = _readable(found[-1], run)
        if values is None:
            return [], [f"labels of run {run.name} are lost: {REMEDY}"]
        with workspace(folder) as work:
            record, columns = values
            parts = (of_dim(columns, record.columns, dim) for dim in (SENTENCE, TOKEN))
            publish_labels(folder, run.counts, *parts, source=record.source, work=work)
        rewritten.append(f"stored version {found[-1].number} of the labels again")
        found = versions(folder)
    rewritten += _pruned(found, run)
    run.refresh()
    left = [
        problem for _, _, problems in label_problems(folder, run.counts) for problem in problems
    ]
    return rewritten, left


def _later(run: Run) -> str | None:
    """Return what a record of a later version of actlas says, which nobody here may replace.

    None if there is none.
    """
    for version in versions(run.folder):
        for read, path in ((read_record, version.json), (sealed_behind, version.file)):
            try:
                parsed(read(path), version, run.folder.name, run.counts)
            except LaterRecord as error:
                return str(error)
            except (DamagedStore, OSError):
                continue
    return None


def _readable(version: Version, run: Run) -> tuple[LabelRecord, Columns] | None:
    """Return record and values of a version, by either copy of the record.

    None if they are lost.
    """
    for read, path in ((read_record, version.json), (sealed_behind, version.file)):
        try:
            record = parsed(read(path), version, run.label_home.name, run.counts)
            return record, read_values(run.label_home, record)
        except (DamagedStore, OSError):
            continue
    return None


def _pruned(found: list[Version], run: Run) -> list[str]:
    """Drop the versions up to the last that is damaged or before a gap; the newest stays."""
    last = -1
    for index, (version, after) in enumerate(pairwise(found)):
        problems = version_problems(version, run.label_home.name, run.counts)
        if any("cannot be read" in problem for problem in problems):
            return []
        if problems or after.number != version.number + 1:
            last = index
    dropped = found[: last + 1]
    for version in dropped:
        version.json.unlink(missing_ok=True)
        version.file.unlink(missing_ok=True)
    if dropped:
        sync_folder(dropped[0].folder)
    return [
        f"dropped version {version.number} of the labels, which a later one replaces"
        for version in dropped
    ]
