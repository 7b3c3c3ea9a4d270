"""Exporting: a run, or part of one.

It is a single self-contained netCDF-4 file that is read in place of the run.

The file is written as shards are (to a temporary file, reserved, hashed, synced, linked without
overwriting) and block by block. Behind the HDF5 part follows its record, see
``format.export_record``. Equal exports of equal data are equal files.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from actlas.store.errors import ActlasError, StoreError, UsageError
from actlas.store.format.export_record import export_tail
from actlas.store.format.schema import EXPORT_SUFFIXES
from actlas.store.io.durable import publish_file
from actlas.store.io.workspace import workspace
from actlas.store.labels.columns import encode
from actlas.store.runs.commits import with_tail
from actlas.store.runs.exported import Exported
from actlas.store.runs.run import Run
from actlas.store.writing.multi_unit import write_units
from actlas.store.writing.selection import ExportPlan, Selection, plan_export
from actlas.store.writing.shard import ShardWriter

Progress = Callable[[int, int], None]
WHOLE = Selection()


def export(
    run: Run, out: Path, selection: Selection = WHOLE, progress: Progress = lambda *_: None
) -> tuple[Exported, bool]:
    """Write ``selection`` of ``run`` to ``out``.

    Return it opened, and whether it is new: an identical file stays.

    progress: called with the bytes of each block as it is written, and those of all.
    Raises UsageError for a site or layer that is not there, StoreError where ``out`` is something
    else, the disk is full or a value does not fit, DamagedStore where the run is altered.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        raise UsageError(
            f"{out} does not end in {' or '.join(EXPORT_SUFFIXES)}: an export is "
            "distinguished from a run by that"
        )
    plan = plan_export(run, selection)
    _check_place(out, plan)
    try:
        with workspace(_drafts(out)) as work:
            draft = work.folder / out.name
            _write(draft, plan, progress)
            new = _publish(draft, out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        for folder in (_drafts(out) / "tmp", _drafts(out)):
            with contextlib.suppress(OSError):  # not there, or another export is at work in it
                folder.rmdir()
    return Exported(out), new


def _drafts(out: Path) -> Path:
    return out.with_name(f".{out.name}.draft")


def _check_place(out: Path, plan: ExportPlan) -> None:
    """Raise StoreError before any work where ``out`` cannot become this export."""
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a directory: give OUT in one that is there")
    if not out.exists():
        return
    try:
        same = {**Exported(out).header, **plan.header} == Exported(out).header
    except ActlasError:
        same = False
    if not same:
        raise _taken(out)


def _taken(out: Path) -> StoreError:
    return StoreError(
        f"{out} is there already and is not this export: remove it, or give another OUT"
    )


def _write(draft: Path, plan: ExportPlan, progress: Progress) -> None:
    attributes = {"actlas_run": plan.run.id} | {
        f"actlas_{name}": json.dumps(plan.header[name], sort_keys=True)
        for name in ("specification", "description", "selection")
    }

    total = sum(layout.nbytes for layout in plan.layouts)

    def read(index: int, site: str, number: int) -> npt.NDArray[Any]:
        rows = plan.read(index, site, number)
        progress(rows.nbytes, total)
        return rows

    columns = encode(plan.labels.columns, plan.labels.token_columns)
    writer = ShardWriter(draft, plan.layouts, plan.labels, attributes, columns)
    try:
        made = write_units(writer, plan.layouts, plan.units, read)
        commit = made.commit(plan.run.id, "", plan.origins)
        places = made.shard.columns
        writer.close(with_tail(commit, lambda each: export_tail(plan.header, each, places))[1])
    except BaseException:
        writer.drop()
        raise


def _publish(draft: Path, out: Path) -> bool:
    """Give the finished file its name.

    False where an identical one has it, StoreError where another.
    """
    if not out.exists() and publish_file(draft, out, keep=True):
        return True
    if filecmp.cmp(draft, out, shallow=False):
        return False
    raise _taken(out)
