"""Verification and repair of label records: every byte of every version, and gaps between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.format.digest import rest_checksum
from actlas.store.format.schema import seal
from actlas.store.io.durable import sync_folder
from actlas.store.io.safe_open import opened, read_record
from actlas.store.io.workspace import check_own, workspace
from actlas.store.labels.columns import Columns, column_spans, places_of_columns
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

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

MOST_VARIABLES = 8000  # of columns: a text has two variables and a dim


def label_problems(run_folder: Path, sentences: int) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield of each version its name, 0 (bytes are not counted), and what is wrong with it."""
    try:
        found = versions(run_folder)
    except DamagedStore as error:
        yield FOLDER, 0, (str(error),)
        return
    if not found:
        yield FOLDER, 0, (f"{run_folder / FOLDER} has no label record: {REMEDY}",)
    before: Version | None = None
    for version in found:
        problems = version_problems(version, run_folder.name, sentences)
        if before and version.number != before.number + 1:
            lost = f"after version {before.number} comes {version.number}"
            problems.insert(
                0,
                f"{version.folder}: {lost}: label records were removed or doubled; see `actlas verify --repair`",
            )
        before = version
        yield version.json.name, 0, tuple(problems)


def version_problems(version: Version, run: str, sentences: int) -> list[str]:
    """Return what is wrong with one version: its record, the copy of it, or the values."""
    try:
        record = parsed(sealed_behind(version.file), version, run, sentences)
        # without its first copy a version counts by the one behind its values: so a relabelling
        # that was killed between the two has come to its end
        if version.json.exists() or version.json.is_symlink():
            content = read_record(version.json)
            parsed(content, version, run, sentences)
            if content != seal(record.to_json()):
                return [f"{version.json} is not the record behind {version.file.name}: {REMEDY}"]
        read_values(version.folder.parent, record)
        return _file_problems(version.file, record)
    except DamagedStore as error:
        return [str(error)]
    except OSError as error:
        return [f"{error.filename or version.file} cannot be read ({error.strerror})"]


def _file_problems(path: Path, record: LabelRecord) -> list[str]:
    from actlas.store.format.hdf5_check import plain_problems  # HDF5 is imported where it is asked

    remedy = "`actlas verify --repair` writes the labels anew"
    with opened(path) as (descriptor, _):
        if (
            rest_checksum(descriptor, record.size, column_spans(record.columns, record.sentences))
            != record.rest
        ):
            return [f"{path}: HDF5 records were altered: {remedy}"]
    found = plain_problems(path, places_of_columns(record.columns), MOST_VARIABLES)
    return [f"{path}: to HDF5, {what}: {remedy}" for what in found]


def repair_labels(run: Run) -> tuple[list[str], list[str]]:
    """Store the newest version anew if it can be read, drop damaged older ones; say what was done.

    The second list is what is left: labels that are lost are never replaced by older ones.
    """
    from actlas.store.labels.relabel import publish_labels

    folder, mended = run.folder, list[str]()
    check_own(folder / FOLDER)
    if later := _later(run):
        return [], [later]
    if not any(problems for _, _, problems in label_problems(folder, run.sentences)):
        return [], []
    found = versions(folder)
    if not found or found[-1].number in [version.number for version in found[:-1]]:
        return [], [f"which labels run {run.name} has cannot be told: {REMEDY}"]
    if version_problems(found[-1], folder.name, run.sentences):
        values = _readable(found[-1], run)
        if values is None:
            return [], [f"labels of run {run.name} are lost: {REMEDY}"]
        with workspace(folder) as work:
            publish_labels(folder, run.sentences, values[1], values[0].source, work)
        mended.append(f"stored version {found[-1].number} of the labels anew")
        found = versions(folder)
    mended += _pruned(found, run)
    run.refresh()
    left = [
        problem for _, _, problems in label_problems(folder, run.sentences) for problem in problems
    ]
    return mended, left


def _later(run: Run) -> str | None:
    """Return what a record of a later version of actlas says, which nobody here may replace; None where there is none."""
    for version in versions(run.folder):
        for read, path in ((read_record, version.json), (sealed_behind, version.file)):
            try:
                parsed(read(path), version, run.folder.name, run.sentences)
            except LaterRecord as error:
                return str(error)
            except (DamagedStore, OSError):
                continue
    return None


def _readable(version: Version, run: Run) -> tuple[LabelRecord, Columns] | None:
    """Return record and values of a version, by either copy of the record; None if they are lost."""
    for read, path in ((read_record, version.json), (sealed_behind, version.file)):
        try:
            record = parsed(read(path), version, run.label_home.name, run.sentences)
            return record, read_values(run.label_home, record)
        except (DamagedStore, OSError):
            continue
    return None


def _pruned(found: list[Version], run: Run) -> list[str]:
    """Drop the versions up to the last that is damaged or before a gap; the newest stays."""
    last = -1
    for index, (version, after) in enumerate(pairwise(found)):
        problems = version_problems(version, run.label_home.name, run.sentences)
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
