"""``actlas study``: one file that says what a study is, one command that does it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.extraction.planned import label_lines, label_record, missing_sites
from actlas.scripts.terminal.options import json_option
from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import NAME_WIDTH, echo_json, size, table, wrapped
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import edits_text
from actlas.store.io.replacing import replacing

if TYPE_CHECKING:
    from actlas.scripts.study.analysing import Choice, StudyPaths
    from actlas.scripts.study.file import Study
    from actlas.scripts.study.plan import Planned

file_argument = click.argument("file", type=UserPath())
out_option = click.option(
    "--out",
    type=UserPath(file_okay=False),
    help="Folder for store, results and report.  [default: actlas-STUDY]",
)
store_option = click.option(
    "--store",
    "store_path",
    type=UserPath(),
    envvar="ACTLAS_STORE",
    show_envvar=True,
    help="Folder of the store.  [default: as the study file says, or OUT/store]",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress bar.")
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Analyses that are done side by side, each in a process of its own; 1 for none.  "
    "[default: the number of cores, fewer where memory is short]",
)


@click.group("study")
def command() -> None:
    """A study in one file: model, sentences, edits and analyses.

    One command brings it up to date.
    """


@command.command("new", cls=SectionedCommand, examples=["actlas study new mine.toml"])
@file_argument
def new(file: Path) -> None:
    """Write a commented template to FILE, which runs as it is on the demo model."""
    if file.suffix != ".toml":
        raise UsageError(f"study file {file}: expected a name that ends in .toml")
    from actlas.scripts.study.template import template

    if not _written(file, template().encode()):
        raise UsageError(f"{file} is there already: give another name")
    click.echo(f"wrote {file}\nnext: actlas study check {file}, then actlas study run {file}")


def _written(file: Path, content: bytes) -> bool:
    """Write a file of the user's as a whole, or not at all.

    False where one of that name is there.
    """
    if file.exists() or file.is_symlink():
        return False
    with replacing(file.parent) as files:
        files.add(file.name, [content])
    return True


@command.command("check", cls=SectionedCommand, examples=["actlas study check mine.toml"])
@file_argument
@out_option
@store_option
@json_option
def check(file: Path, out: Path | None, store_path: Path | None, as_json: bool) -> None:
    """Check FILE against its model and sentences, and say what `study run` would do.

    Changes nothing.
    """
    study, place = _read(file, out, store_path)
    planned, todo = _looked_up(study, place)
    if as_json:
        runs = {name: _cost_record(each) for name, each in planned.items()}
        echo_json({"study": str(file), "store": str(place.store), "runs": runs, "analyses": todo})
        return
    rows = [(name, *_cost(each)) for name, each in planned.items()]
    click.echo(table(("run", "sentences", "variants", "to compute", "to write"), rows))
    for name, each in planned.items():
        for line in label_lines(each.plan):
            click.echo(f"\n{wrapped(name, line)}")
    if study.analyses:
        lines = [
            (each.name, each.stage.title, each.run, todo[each.name]) for each in study.analyses
        ]
        click.echo("\n" + table(("analysis", "stage", "run", "state"), lines))
    click.echo(f"\nthe file is valid: actlas study run {file}")


@command.command(
    "run",
    cls=SectionedCommand,
    examples=[
        "actlas study run mine.toml",
        "actlas study run mine.toml --list",
        "actlas study run mine.toml --only variance --force variance",
    ],
)
@file_argument
@out_option
@store_option
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Do this analysis alone, and what it reads; may be repeated.",
)
@click.option(
    "--force",
    multiple=True,
    metavar="NAME",
    help="Do this analysis again, also where it is up to date; may be repeated.",
)
@click.option(
    "--list", "listing", is_flag=True, help="Say what is up to date and what is not; do nothing."
)
@jobs_option
@quiet_option
@json_option
def run(
    file: Path,
    out: Path | None,
    store_path: Path | None,
    only: tuple[str, ...],
    force: tuple[str, ...],
    listing: bool,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Bring all that FILE asks for up to date: activations, analyses, and the report.

    What is stored is not computed again, and an analysis whose runs, options and version of actlas
    are as they were is not done again. Exits with 1 where an analysis finds that what it checks
    does not hold.
    """
    from actlas.scripts.study.analysing import Choice

    study, place = _read(file, out, store_path)
    choice = Choice(only, force)
    if listing:
        _list(study, place, choice, as_json=as_json)
        return
    holds = carry_out(study, place, quiet=quiet, as_json=as_json, choice=choice, jobs=jobs)
    sys.exit(0 if holds else 1)


def _read(file: Path, out: Path | None, store: Path | None) -> tuple[Study, StudyPaths]:
    """Return a study, and where its files go.

    Results to ``out``, activations where the option or the file says, or below.
    """
    from actlas.scripts.study.analysing import StudyPaths
    from actlas.scripts.study.file import read_study

    study = read_study(file)
    folder = out or Path(f"actlas-{study.path.stem}")
    return study, StudyPaths(folder, store or study.store or folder / "store")


def _looked_up(study: Study, place: StudyPaths) -> tuple[dict[str, Planned], dict[str, str]]:
    """Return the plan of each run, and the state of each analysis; changes nothing."""
    from actlas.scripts.study.plan import plan_study
    from actlas.scripts.study.update import states

    planned = plan_study(study, place.store)
    return planned, states(study, place, planned)


def _list(study: Study, place: StudyPaths, choice: Choice, *, as_json: bool) -> None:
    """Print the state of runs and analyses."""
    chosen = choice.of(study)
    planned, found = _looked_up(study, place)
    rows = [(name, "run", _run_state(planned[name])) for name in choice.runs(study)]
    for each in chosen:
        forced = each.name in choice.force and found[each.name] == "up to date"
        state = "up to date, made again by --force" if forced else found[each.name]
        rows.append((each.name, each.stage.title, state))
    if as_json:
        echo_json({"stages": [{"name": n, "stage": s, "state": state} for n, s, state in rows]})
    else:
        click.echo(table(("name", "stage", "state"), rows))


def _run_state(planned: Planned) -> str:
    plans = (planned.plan, *planned.variants)
    missing = sum(plan.run is None or bool(plan.missing) for plan in plans)
    if missing:
        return "missing" if missing == len(plans) else f"missing: {missing} of {len(plans)} runs"
    return "out of date: labels differ" if planned.plan.label_change else "up to date"


def carry_out(
    study: Study,
    place: StudyPaths,
    *,
    quiet: bool = False,
    as_json: bool = False,
    choice: Choice | None = None,
    jobs: int | None = None,
) -> bool:
    """Bring ``study`` up to date and say what was done; return whether all that it checks holds."""
    from actlas.scripts.study.analysing import Choice
    from actlas.scripts.study.update import bring_up_to_date
    from actlas.scripts.study.workers import default_jobs

    choice = choice or Choice()
    lines: list[dict[str, str]] = []

    def say(name: str, what: str) -> None:
        lines.append({"of": name, "did": what})
        if not as_json:
            click.echo(wrapped(name, what))

    record = bring_up_to_date(
        study,
        place,
        say,
        quiet=quiet or as_json,
        choice=choice,
        jobs=jobs or default_jobs(),
    )
    holds = all(record["analyses"][each.name]["holds"] for each in choice.of(study))
    _finish(place, record, lines, holds=holds, as_json=as_json)
    return holds


def _finish(
    place: StudyPaths,
    record: dict[str, Any],
    lines: list[dict[str, str]],
    *,
    holds: bool,
    as_json: bool,
) -> None:
    """Write the report and say where it is, or all that was done as JSON."""
    from actlas.scripts.reporting.page import write_report

    report = write_report(place.out, place.store) if record["analyses"] else None
    if as_json:
        kept = {key: record[key] for key in ("runs", "analyses")}
        echo_json(
            {
                "out": str(place.out),
                "store": str(place.store),
                "report": None if report is None else str(report),
                **kept,
                "done": lines,
                "holds": holds,
            }
        )
    elif report:
        click.echo(f"{'report':{NAME_WIDTH}} {report}")  # a path is not cut


def _cost(planned: Planned) -> tuple[object, ...]:
    plans = (planned.plan, *planned.variants)
    new = sum(bool(plan.missing) for plan in plans)
    sites = " ".join(missing_sites(planned.plan)) or "nothing"
    what = "nothing" if not new else sites if new == 1 else f"{new} runs"
    return (
        len(planned.plan.tokens.labels.text),
        len(planned.variants),
        what,
        size(sum(plan.missing_bytes for plan in plans)),
    )


def _cost_record(planned: Planned) -> dict[str, object]:
    plans = (planned.plan, *planned.variants)
    return {
        "id": planned.plan.run_id,
        "variants": {edits_text(plan.edits): plan.run_id for plan in planned.variants},
        "labels": label_record(planned.plan),
        "missing": sum(bool(plan.missing) for plan in plans),
        "missing_bytes": sum(plan.missing_bytes for plan in plans),
    }
