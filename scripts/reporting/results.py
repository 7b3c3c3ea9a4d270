"""The results in a folder: every netCDF file that says its stage, runs and options, with the figures beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from actlas.scripts.reporting.wording import WORDING
from actlas.scripts.upkeep import RECORD, read_record
from actlas.store.errors import ActlasError, UsageError


@dataclass(frozen=True)
class Result:
    """A result that was read: where it lies, what it says of itself, its numbers."""

    name: str  # of the analysis, or its file's
    path: Path
    stage: str
    runs: tuple[str, ...]  # ids; the first without edits
    options: dict[str, Any]
    software: dict[str, str]
    labels: tuple[str, ...]  # version:digest of the label columns of each run when it was made
    data: xr.Dataset

    @property
    def word(self) -> str | None:
        """The word whose tokens were studied."""
        return str(self.options["word"]) if "pair_target" in self.data and "word" in self.options else None

    @property
    def figures(self) -> Iterator[tuple[str, Path]]:
        """Yield kind and path of its figures."""
        for kind in WORDING[self.stage].figures:
            path = self.path.with_name(f"{self.path.stem}_{kind}.svg" if kind else f"{self.path.stem}.svg")
            if path.is_file():
                yield kind, path

    @property
    def files(self) -> list[Path]:
        """Return the files of the stage: result, figures, what is too large to be shown."""
        stem = self.path.stem
        return sorted(path for path in self.path.parent.iterdir() if path.stem == stem or path.stem.startswith(f"{stem}_"))


@dataclass(frozen=True)
class Folder:
    """A folder of results: what is in it, and the record of the study that made it, empty where none did."""

    path: Path
    record: dict[str, Any]
    results: tuple[Result, ...]


def read_folder(path: Path) -> Folder:
    """Read the results in and below ``path``, those of a study in its order; raises UsageError where there are none."""
    if not path.is_dir():
        raise UsageError(f"{path} is no folder of results: give the one that `actlas study run` or --out named")
    record = read_record(path / RECORD)
    named = {path / file: name for name, each in record["analyses"].items() for file in each["files"][:1]}
    files = list(named) if named else sorted(path.rglob("*.nc"))
    results = [result for file in files if (result := _read(file, named.get(file))) is not None]
    if not results:
        raise UsageError(f"{path} holds no result of actlas: `actlas study run`, or a study's command with --out, writes some")
    return Folder(path, record, tuple(results))


def _read(path: Path, name: str | None) -> Result | None:
    """Return a result, None for a netCDF file of something else; raises ActlasError for one that cannot be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            if opened.attrs.get("stage") not in WORDING:
                return None
            data = opened.load()
        attributes = data.attrs
        options, software = json.loads(attributes["options"]), json.loads(attributes["software"])
        runs = tuple(attributes["runs"].split())
        labels = tuple(str(attributes["labels"]).split())
        return Result(name or path.stem, path, attributes["stage"], runs, dict(options), dict(software), labels, data)
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        raise ActlasError(f"{path} cannot be read ({error}): run the study, or the command that wrote it, again") from error
