"""``actlas verify DIR``: every file of a folder of results against its checksum.

A study's folder is also checked against what its study.json says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from actlas.analysis.results.seals import REMEDY, DamagedResult, Seal, damages, read_seal
from actlas.scripts.reporting.results import files_below, of_stage, result_files
from actlas.scripts.reporting.seal import check_report
from actlas.scripts.study.analysing import REPORT, result_path
from actlas.scripts.study.record import RECORD, DamagedRecord, read_record
from actlas.scripts.terminal.text import counted, echo_json, printable, size
from actlas.store.errors import ActlasError, LaterRecord, UsageError

FIGURES = (".png", ".svg", ".pdf")


@dataclass
class CheckedFolder:
    """What was found: a line for each result, what is wrong, and what belongs to nothing."""

    lines: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_folder(path: Path, *, as_json: bool) -> bool:
    """Check a folder of results and print what was found; return whether all of it is valid."""
    found = check_folder(path)
    if as_json:
        lines = {file.relative_to(path).as_posix(): line for file, line in found.lines.items()}
        echo_json({"results": lines, "problems": found.problems, "notes": found.notes})
        return not found.problems
    for file, line in found.lines.items():
        click.echo(printable(f"{file.relative_to(path)}: {line}"))
    for note in found.notes:
        click.echo(printable(f"  {note}"))
    for problem in found.problems:
        click.echo(printable(f"  {problem}"), err=True)
    return not found.problems


def check_folder(path: Path) -> CheckedFolder:
    """Check every result in and below ``path``, its figures, the study's record and the report.

    Raises UsageError where there is nothing of actlas.
    """
    found, seals = CheckedFolder(), dict[Path, Seal]()
    for file in result_files(path):
        try:
            seals[file] = read_seal(file)
        except DamagedResult as error:
            found.lines[file] = "DAMAGED"
            found.problems.append(str(error))
    owned = {each for seal in seals.values() for each, _ in seal.beside}
    for file, seal in seals.items():
        if file not in owned:
            _check(found, file, seal)
    found.problems += _study_problems(path, seals)
    _strays(path, found, {*owned, *seals})
    if not found.lines and not found.problems:
        raise UsageError(
            f"{path} holds no result of actlas: give a folder that `actlas study run` or --out "
            "named, or a run"
        )
    return found


def _check(found: CheckedFolder, file: Path, seal: Seal) -> None:
    problems = [str(damage) for damage in damages(seal)]
    files = [file, *(each for each, _ in seal.beside)]
    nbytes = sum(each.stat().st_size for each in files if each.exists())
    state = "DAMAGED" if problems else "ok"
    found.lines[file] = f"{counted(len(files), 'file')}, {size(nbytes)}, {state}"
    found.problems += problems


def _study_problems(path: Path, seals: dict[Path, Seal]) -> Iterator[str]:
    """Yield what differs from the record of a study, if the folder is of one."""
    try:
        record = read_record(path / RECORD)
    except DamagedRecord as error:
        yield str(error)
        return
    except UsageError as error:
        if isinstance(error.__cause__, LaterRecord):
            yield str(error)
        return
    for name, done in record["analyses"].items():
        file = result_path(path, name, done["stage"])
        if not file.exists():
            yield f"{file} is missing: {REMEDY}"
        elif file in seals and seals[file].checksum != done["seal"]:
            yield f"{file} is not the result that {RECORD} records: {REMEDY}"


def _strays(path: Path, found: CheckedFolder, owned: set[Path]) -> None:
    """Add the report's problems, and the figures that belong to no result."""
    for file in files_below(path):
        if file.name == REPORT:
            try:
                check_report(file)
            except ActlasError as error:
                found.problems.append(str(error))
        elif file.suffix in FIGURES and file not in owned:
            if of_stage(file):
                found.problems.append(f"{file} belongs to no result: remove it, or {REMEDY}")
            else:
                found.notes.append(f"{file} is of no result")
