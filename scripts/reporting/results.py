"""The results in a folder.

Every netCDF file that says its stage, runs and options, with the figures beside it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from actlas.analysis import registry
from actlas.analysis.declaring import Caption, Study
from actlas.analysis.results.files import load
from actlas.analysis.results.seals import REMEDY, DamagedResult, Seal, check_result, ends_as_result
from actlas.scripts.study.analysing import result_path
from actlas.scripts.study.own import PREFIX
from actlas.scripts.study.record import ID as RUN_ID
from actlas.scripts.study.record import RECORD, empty_record, read_record
from actlas.store.errors import UsageError, quoted
from actlas.store.io.replacing import DRAFT

STORE_FILE = "store.json"


@dataclass(frozen=True)
class Result:
    """A result that was read: where it lies, what it says of itself, its numbers."""

    name: str  # of the analysis, or its file's
    seal: Seal
    stage: str
    runs: tuple[str, ...]  # ids; the first without edits
    options: dict[str, Any]
    software: dict[str, str]
    labels: tuple[str, ...]  # version:digest of the label columns of each run when it was made
    findings: tuple[str, ...]
    captions: dict[str, Caption]  # of its figures, by kind
    data: xr.Dataset

    @property
    def study(self) -> Study[Any] | None:
        """The study that made it; None where the package that declares it is not installed."""
        return registry.find(self.stage)

    @property
    def described(self) -> xr.Dataset:
        """The numbers, with the options and what was found as attributes."""
        return self.data.drop_attrs(deep=False).assign_attrs(self.options)

    @property
    def word(self) -> str | None:
        """The word whose tokens were studied."""
        return (
            str(self.options["target"])
            if "pair_target" in self.data and "target" in self.options
            else None
        )

    @property
    def figures(self) -> Iterator[tuple[str, Path]]:
        """Yield kind and path of its figures."""
        for kind in self.captions:
            name = f"{self.seal.name}_{kind}.svg" if kind else f"{self.seal.name}.svg"
            if name in self.seal.files:
                yield kind, self.seal.path.with_name(name)

    @property
    def files(self) -> list[Path]:
        """Return the files of the stage: result, figures, what is too large to be shown."""
        return sorted([self.seal.path, *(path for path, _ in self.seal.beside)])


@contextmanager
def naming_result(result: Result) -> Iterator[None]:
    """Say of a result that is sealed, but not as its stage writes it, that it cannot be shown."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:
        path, reason = result.seal.path, f"{type(error).__name__}: {str(error)[:100]}"
        raise DamagedResult(f"{path} cannot be shown ({quoted(reason)}): {REMEDY}") from error


@dataclass(frozen=True)
class Folder:
    """A folder of results: what is in it, and the record of the study that made it.

    The record is empty if no study made it.
    """

    path: Path
    record: dict[str, Any]
    results: tuple[Result, ...]


def read_folder(path: Path) -> Folder:
    """Read the results in and below ``path``, those of a study in its order; or one result.

    Raises UsageError where there are none.

    Raises DamagedResult for one that was altered, cut short, renamed, or put in another's place.
    """
    if path.suffix == ".nc" and path.is_file():
        seal = check_result(path)
        return Folder(path.parent, empty_record(), (_read(seal, seal.name),))
    if not path.is_dir():
        raise UsageError(
            f"{path} is not a directory of results: give the one that `actlas study run` or "
            "--out named"
        )
    record = read_record(path / RECORD)
    if record["analyses"]:
        results = [_of_study(path, name, each) for name, each in record["analyses"].items()]
    else:
        seals = [check_result(file) for file in result_files(path)]
        # a large array is a result of its own kind, and is shown with the one that it belongs to
        beside = {file for seal in seals for file, _ in seal.beside}
        results = [_read(seal, seal.name) for seal in seals if seal.path not in beside]
    if not results:
        raise UsageError(
            f"{path} holds no result of actlas: `actlas study run`, or a study's command with "
            f"--out, writes some"
        )
    return Folder(path, record, tuple(results))


def result_files(path: Path) -> list[Path]:
    """Return the results in and below a folder, sorted.

    A result is known by its ending, or by a name that only ours have.
    """
    files = [file for file in files_below(path) if file.suffix == ".nc"]
    return [file for file in files if of_stage(file) or ends_as_result(file)]


def files_below(path: Path) -> list[Path]:
    """Return the files in and below a folder, sorted; none of a store, and no drafts."""
    found: list[Path] = []
    for place, folders, names in os.walk(path):
        # a store may lie in the folder; its shards end in .h5, its exports may end in .nc
        if STORE_FILE in names:
            folders.clear()
            continue
        found += [Path(place) / name for name in names if not DRAFT.fullmatch(name)]
    return sorted(found)


def of_stage(path: Path) -> bool:
    """Whether a file has a name that results and figures have: that of a stage, and maybe more."""
    stage = re.split("[-_]", path.stem)[0]
    return stage == PREFIX or stage in registry.names()


def _of_study(path: Path, name: str, done: dict[str, Any]) -> Result:
    seal = check_result(result_path(path, name, done["stage"]))
    # a valid result of another analysis, put here, has a seal that the record does not know
    if seal.checksum != done["seal"] or seal.attributes["stage"] != done["stage"]:
        raise DamagedResult(f"{seal.path} is not the result that {RECORD} records: {REMEDY}")
    return _read(seal, name)


def _read(seal: Seal, name: str) -> Result:
    """Return a result; raises DamagedResult for one that cannot be read."""
    data = load(seal)
    try:
        options, software = (json.loads(seal.attributes[key]) for key in ("options", "software"))
        runs, labels = (tuple(seal.attributes[key].split()) for key in ("runs", "labels"))
        if not runs or not all(RUN_ID.fullmatch(run) for run in runs):
            raise ValueError("ids")
        findings, captions = (json.loads(seal.attributes[key]) for key in ("findings", "captions"))
        return Result(
            name,
            seal,
            seal.attributes["stage"],
            runs,
            dict(options),
            dict(software),
            labels,
            tuple(map(str, findings)),
            {kind: Caption(str(title), str(note)) for kind, (title, note) in captions.items()},
            data,
        )
    except (AttributeError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedResult(
            f"{seal.path} has attributes of another form than results have: {REMEDY}"
        ) from error


def option_text(value: object) -> str:
    """Return the value of an option as a page shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {option_text(each)}" for name, each in value.items()) or "none"
    return "not set" if value is None else str(value)
