"""Whose a study's folder is: two study files of one name do not overwrite each other's results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actlas.scripts.study.file import SHIPPED, Study
from actlas.scripts.study.record import RECORD
from actlas.store.errors import UsageError

STUDIES = Path(__file__).parents[1] / "studies"


def study_place(study: Study) -> str:
    """Return the path of a study file, or the name alone of one that comes with actlas.

    That lies wherever actlas is installed.
    """
    path = study.path.resolve()
    return f"{SHIPPED}{path.name}" if path.parent == STUDIES.resolve() else str(path)


def check_owner(record: Mapping[str, Any], study: Study, out: Path, ids: Mapping[str, str]) -> None:
    """Raise UsageError where ``out`` belongs to another study file than ``study``.

    record: of the folder; ids: run of the study → its id. A study file that was moved or copied
    with its folder lies where it did from there; one that was moved alone is known by its text and
    runs.
    """
    owner = record.get("file")
    # moved together, file and folder lie as they did to each other
    if owner in (None, study_place(study)) or record["beside"] == beside(study, out):
        return
    # moved alone, the file is no longer where it was; equal text and runs say that it is the same
    deleted = not owner.startswith(SHIPPED) and not Path(owner).exists()
    if deleted and _same(record, study, ids):
        return
    moved = (
        f", or remove {out / RECORD} if it is that file, moved and edited since" if deleted else ""
    )
    raise UsageError(
        f"{out} belongs to the study file {owner}: give {study.path} an --out of its own{moved}"
    )


def beside(study: Study, out: Path) -> str:
    """Return the way from a study's folder to its file."""
    return os.path.relpath(study.path.resolve(), out.resolve())


def _same(record: Mapping[str, Any], study: Study, ids: Mapping[str, str]) -> bool:
    runs = {name: each["id"] for name, each in record["runs"].items()}
    return bool(record["text"] == study.text) and runs.items() <= ids.items()
