"""The analyses of a study: which are up to date, why others are not, and doing those."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.analysis.results.seals import REMEDY, DamagedResult, check_result, read_seal
from actlas.scripts.results.output import Destination
from actlas.scripts.study.file import Analysis, Study
from actlas.scripts.study.record import RECORD, write_record
from actlas.scripts.study.stage import Subject, outdated
from actlas.store.errors import UsageError, unknown
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.scripts.study.plan import Planned
    from actlas.scripts.study.workers import Job, OneProcess, Workers

REPORT = "report.html"
Say = Callable[[str, str], None]  # what it is about, and what was done
CURRENT, MISSING = "up to date", "missing"


@dataclass(frozen=True)
class StudyPaths:
    """Where a study's files lie."""

    out: Path
    store: Path

    @property
    def record(self) -> Path:
        """The record of what is done."""
        return self.out / RECORD

    def destination(self, analysis: Analysis) -> Destination:
        """Where an analysis writes: the same place whatever its options are now."""
        return Destination(self.out / "results" / analysis.name, analysis.stage.title)

    def result(self, analysis: Analysis) -> Path:
        """The result that an analysis writes."""
        return result_path(self.out, analysis.name, analysis.stage.title)


def result_path(out: Path, analysis: str, stage: str) -> Path:
    """Return where in a study's folder the result of an analysis lies."""
    return out / "results" / analysis / f"{stage}.nc"


@dataclass(frozen=True)
class Begun:
    """An analysis that is being done, and what is to be said before its findings."""

    job: Job
    note: str = ""


@dataclass(frozen=True)
class Choice:
    """Which analyses are done, and which of them also where they are up to date.

    only: by name, with what they read; all, with every run, where empty. force: by name.
    """

    only: tuple[str, ...] = ()
    force: tuple[str, ...] = ()

    def of(self, study: Study) -> list[Analysis]:
        """Return the analyses, in the order of the study file.

        Raises UsageError for a name that none has.
        """
        names = [analysis.name for analysis in study.analyses]
        for name in (*self.only, *self.force):
            if name not in names:
                raise UsageError(f"{study.path}: {unknown('analysis', name, names)}")
        wanted = {*self.only, *self.force} if self.only else set(names)
        return [analysis for analysis in study.analyses if analysis.name in wanted]

    def runs(self, study: Study) -> list[str]:
        """Return the runs that are read, in the order of the study file."""
        read = {analysis.run for analysis in self.of(study)}
        return [name for name in study.runs if name in read or not self.only]


def analyse(
    chosen: Sequence[Analysis],
    begun: Mapping[str, Begun],
    place: StudyPaths,
    record: dict[str, Any],
    say: Say,
) -> None:
    """Wait for what was begun, in the order of the analyses; record and say what was found.

    An analysis that fails does not keep the others from being done; the first error is raised then.
    """
    errors = []
    for analysis in chosen:
        name = analysis.name
        if name not in begun:
            say(name, f"{CURRENT}: {record['analyses'][name]['summary']}")
            continue
        if begun[name].note:
            say(name, begun[name].note)
        try:
            made, took = begun[name].job.result()
        except Exception as error:
            errors.append(error)
            continue
        record["analyses"][name] = made
        write_record(place.record, record)
        say(name, f"done in {took:.1f} s: {made['summary']}")
    if errors:
        raise errors[0]


def begin(
    analysis: Analysis,
    subject: Subject,
    place: StudyPaths,
    record: dict[str, Any],
    *,
    force: bool,
    workers: OneProcess | Workers,
) -> Begun | None:
    """Begin an analysis, None where it is up to date; its record leaves the study's until then."""
    done, note = record["analyses"].get(analysis.name), ""
    try:
        if done and not force and not why_outdated(analysis, subject, place, done):
            return None
    except DamagedResult as error:
        note = f"to be done again: {str(error).removesuffix(f': {REMEDY}')}"
    if record["analyses"].pop(analysis.name, None):
        write_record(place.record, record)
    runs = [(run.folder, run.names) for run in (subject.run, *subject.variants.values())]
    return Begun(workers.submit(carry_out, analysis, runs, tuple(subject.variants), place), note)


def carry_out(
    analysis: Analysis,
    runs: Sequence[tuple[Path, tuple[str, ...]]],
    edits: Sequence[str],
    place: StudyPaths,
) -> tuple[dict[str, Any], float]:
    """Do an analysis of stored runs; return what the study's record says of it, and the seconds.

    runs: folder and names of each, the one without the study's edits first.
    """
    start = time.perf_counter()
    run, *variants = [Run(folder, names) for folder, names in runs]
    subject = Subject(run, dict(zip(edits, variants, strict=True)))
    finding = analysis.stage.carry_out(subject, place.destination(analysis))
    made = {
        "stage": analysis.stage.title,
        "run": analysis.run,
        "summary": "; ".join(finding.findings),
        "holds": finding.holds,
        "seal": read_seal(place.result(analysis)).checksum,
    }
    return made, time.perf_counter() - start


def why_outdated(
    analysis: Analysis, subject: Subject, place: StudyPaths, done: Mapping[str, Any]
) -> str:
    """Return why a recorded analysis is to be done again, empty where it is not.

    Raises DamagedResult where a byte of its files is not as it was written.
    """
    for key, now in (("run", analysis.run), ("stage", analysis.stage.title)):
        if done[key] != now:
            return f"{key} was {done[key]}, is {now}"
    found = check_result(place.result(analysis))
    if found.checksum != done["seal"]:
        raise DamagedResult(f"{found.path} is not the result that {RECORD} records: {REMEDY}")
    return outdated(analysis.stage, subject, found.attributes)


def state(
    analysis: Analysis, planned: Planned, place: StudyPaths, done: Mapping[str, Any] | None
) -> str:
    """Return whether an analysis is up to date, missing, or why it is to be done again.

    done: what the record of the study's folder says of it.
    """
    if not done:
        return MISSING
    if not planned.stored or planned.plan.label_change:
        return f"out of date: run {analysis.run} is not stored as the study file has it"
    try:
        why = why_outdated(analysis, planned.subject(), place, done)
    except DamagedResult:
        return "damaged or lost: it is made again"
    return f"out of date: {why}" if why else CURRENT
