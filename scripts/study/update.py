"""Bringing a study up to date.

Runs through the store, which is the cache, and each stage only if its inputs changed.

What is done is kept in ``study.json``, beside the results. A stage leaves it before it is computed
and comes back when all of its files are written, so that one which was interrupted is not taken for
finished.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from actlas.scripts.extraction.edit_check import edit_notes
from actlas.scripts.extraction.engine import OneProcess
from actlas.scripts.extraction.extraction import extraction
from actlas.scripts.extraction.planned import label_lines
from actlas.scripts.extraction.stopping import Interrupted
from actlas.scripts.study.analysing import (
    CURRENT,
    Begun,
    Choice,
    Say,
    StudyPaths,
    analyse,
    begin,
    state,
)
from actlas.scripts.study.file import Analysis, Study
from actlas.scripts.study.ownership import beside, check_owner, study_place
from actlas.scripts.study.plan import Planned, plan_study
from actlas.scripts.study.record import (
    RECORD,
    DamagedRecord,
    empty_record,
    read_record,
    write_record,
)
from actlas.scripts.study.stage import Subject
from actlas.scripts.study.workers import workers
from actlas.scripts.terminal.text import counted, extent, size
from actlas.store.errors import StoreError
from actlas.store.format.edit_records import edits_text
from actlas.store.maintenance.verify import verify
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.extraction.progress import ExtractionStats


def bring_up_to_date(
    study: Study,
    place: StudyPaths,
    say: Say,
    *,
    quiet: bool = False,
    choice: Choice | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Compute what is missing, verify what is new, redo the stages whose inputs changed.

    Return the record of it all.

    say: called with each part and what was done. jobs: analyses that are done side by side, and
    beside the extraction. Raises UsageError for a name that is no analysis, StoreError where a byte
    of a run is not what was committed.
    """
    choice = choice or Choice()
    chosen = choice.of(study)
    engine = OneProcess()
    planned = plan_study(study, place.store, engine)
    record = _begun(study, place, planned, say)
    found = {each.name: _state(each, planned, place, record) for each in chosen}
    busy = any(each.name in choice.force or found[each.name] != CURRENT for each in chosen)
    with workers(min(jobs, len(chosen)) if busy else 1) as pool:
        begun: dict[str, Begun] = {}
        with engine:
            for name in choice.runs(study):
                subject = _extract(name, planned[name], say, engine=engine, quiet=quiet)
                _record_run(study, name, subject, place, record, say)
                for each in (each for each in chosen if each.run == name):
                    forced = each.name in choice.force
                    started = begin(each, subject, place, record, force=forced, workers=pool)
                    begun |= {each.name: started} if started else {}
        pool.nothing_else()
        analyse(chosen, begun, place, record, say)
    record["analyses"] = {
        analysis.name: record["analyses"][analysis.name]
        for analysis in study.analyses
        if analysis.name in record["analyses"]
    }
    write_record(place.record, record)
    return record


def _begun(
    study: Study, place: StudyPaths, planned: Mapping[str, Planned], say: Say
) -> dict[str, Any]:
    """Return the record of the study's folder, which is this study's from now on."""
    record = _own_record(
        study,
        place,
        planned,
        lambda problem: say(RECORD, f"{problem}: all analyses are done again"),
    )
    store = Path(
        os.path.relpath(place.store, place.out)
    ).as_posix()  # so that a folder that has moved knows its store
    record |= {"title": study.title, "study": study.path.name, "text": study.text, "store": store}
    record |= {"file": study_place(study), "beside": beside(study, place.out)}
    # runs and analyses that are no longer in the study file leave the record; files stay
    record["runs"] = {name: record["runs"][name] for name in study.runs if name in record["runs"]}
    wanted = {analysis.name for analysis in study.analyses}
    record["analyses"] = {name: each for name, each in record["analyses"].items() if name in wanted}
    write_record(place.record, record)
    return record


def _extract(name: str, planned: Planned, say: Say, *, engine: OneProcess, quiet: bool) -> Subject:
    """Compute what is missing of a run and its variants.

    engine: loads the model once for all runs.
    """
    variants: dict[str, Run] = {}
    all_stats = []
    for line in label_lines(planned.plan, done=True):
        say(name, line)
    kept, plans = contextlib.nullcontext(engine), [planned.plan, *planned.variants]
    with extraction(planned.request, plans, quiet=quiet, engine=kept) as started:
        run, stats = started.carry_out(planned.plan)
        say(
            name,
            f"{extent(run)}, {counted(len(planned.plan.options.sites), 'site')}: {_took([stats])}",
        )
        for plan in planned.variants:
            variants[edits_text(plan.edits)], stats = started.carry_out(plan, quiet=True)
            all_stats.append(stats)
            if started.stopped():  # too late for this extraction
                raise Interrupted(
                    f"interrupted: {len(variants)} of {len(planned.variants)} variants of {name} "
                    f"are stored"
                )
    if all_stats:
        done = sum(stats is not None for stats in all_stats)
        part = "" if done in (0, len(all_stats)) else f"{len(all_stats) - done} up to date, {done} "
        say(name, f"{counted(len(all_stats), 'variant')}: {part}{_took(all_stats)}")
    for note in (note for variant in variants.values() for note in edit_notes(variant)):
        say(name, note)
    return Subject(run, variants)


def _took(all_stats: Sequence[ExtractionStats | None]) -> str:
    seconds = [sum(stats.seconds.values()) for stats in all_stats if stats]
    return f"computed in {sum(seconds):.1f} s" if seconds else "up to date"


def _verified(name: str, subject: Subject, before: dict[str, Any], say: Say) -> dict[str, Any]:
    """Check every byte of a run and its variants, unless the same commits were checked before.

    Return what was found.
    """
    runs = [subject.run, *subject.variants.values()]
    for run in runs:
        run.refresh()
    commits = repr(
        [[(each.file, each.size, each.metadata_checksum) for each in run.records] for run in runs]
    )
    key = xxhash.xxh3_128_hexdigest(commits.encode())
    if before.get("commits") == key:
        return before
    checked = [item for run in runs for item in verify(run)]
    problems = [problem for item in checked for problem in item.problems]
    if problems:
        raise StoreError(
            f"{problems[0]} ({len(problems)} problems: `actlas verify --repair`, then run the "
            f"study again)"
        )
    nbytes = sum(item.nbytes for item in checked)
    say(name, f"verified {size(nbytes)} in {len(checked)} shards: every checksum holds")
    return {"commits": key, "checked": len(checked), "bytes": nbytes, "when": _now()}


def states(study: Study, place: StudyPaths, planned: Mapping[str, Planned]) -> dict[str, str]:
    """Return analysis → whether it is up to date, missing, or why it is to be done again."""
    record = _own_record(study, place, planned, lambda problem: None)
    return {each.name: _state(each, planned, place, record) for each in study.analyses}


def _state(
    analysis: Analysis,
    planned: Mapping[str, Planned],
    place: StudyPaths,
    record: Mapping[str, Any],
) -> str:
    done = record["analyses"].get(analysis.name)
    return state(analysis, planned[analysis.run], place, done)


def _record_run(
    study: Study, name: str, subject: Subject, place: StudyPaths, record: dict[str, Any], say: Say
) -> None:
    """Verify a run and its variants, and record what they are."""
    before = record["runs"].get(name, {}).get("verified", {})
    record["runs"][name] = {
        "input": asdict(study.runs[name]),
        "id": subject.run.id,
        "variants": {edits: run.id for edits, run in subject.variants.items()},
        "verified": _verified(name, subject, before, say),
    }
    write_record(place.record, record)


def _own_record(
    study: Study,
    place: StudyPaths,
    planned: Mapping[str, Planned],
    damaged: Callable[[str], None],
) -> dict[str, Any]:
    """Return the record of the folder, an empty one in place of a damaged one.

    Raises UsageError for another study's.
    """
    try:
        record = read_record(place.record)
    except DamagedRecord as error:
        damaged(str(error).removesuffix(": run the study again"))
        return empty_record()
    check_owner(
        record, study, place.out, {name: each.plan.run_id for name, each in planned.items()}
    )
    return record


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
