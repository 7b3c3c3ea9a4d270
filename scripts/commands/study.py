"""``actlas study``: one file that says what a study is, one command that does it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.extraction.planned import label_lines, label_record, missing_sites
from actlas.scripts.study.file import Study, read_study
from actlas.scripts.study.plan import Planned, plan_study
from actlas.scripts.study.template import template
from actlas.scripts.study.update import StudyPaths, bring_up_to_date, states
from actlas.scripts.terminal.options import json_option
from actlas.scripts.terminal.paths import UserPath
from actlas.scripts.terminal.text import NAME_WIDTH, echo_json, size, table, wrapped
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import edits_text
from actlas.store.io.replacing import replacing

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


@click.group("study")
def command() -> None:
    """A study in one file: model, sentences, edits and analyses.

    One command brings it up to date.
    """


@command.command("new")
@file_argument
def new(file: Path) -> None:
    """Write a commented template to FILE, which runs as it is on the demo model."""
    if file.suffix != ".toml":
        raise UsageError(f"study file {file}: expected a name that ends in .toml")
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


@command.command("check")
@file_argument
@out_option
@store_option
@json_option
def check(file: Path, out: Path | None, store_path: Path | None, as_json: bool) -> None:
    """Check FILE against its model and sentences, and say what `study run` would do.

    Changes nothing.
    """
    study = read_study(file)
    place = find_paths(study, out, store_path)
    planned = plan_study(study, place.store)
    todo = states(study, place, planned)
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


@command.command("run")
@file_argument
@out_option
@store_option
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
def run(file: Path, out: Path | None, store_path: Path | None, quiet: bool, as_json: bool) -> None:
    """Bring all that FILE asks for up to date: activations, analyses, and the report.

    What is stored is not computed again, and an analysis whose runs, options and version of actlas
    are as they were is not done again. Exits with 1 where an analysis finds that what it checks
    does not hold.
    """
    study = read_study(file)
    holds = carry_out(study, find_paths(study, out, store_path), quiet=quiet, as_json=as_json)
    sys.exit(0 if holds else 1)


def carry_out(
    study: Study, place: StudyPaths, *, quiet: bool = False, as_json: bool = False
) -> bool:
    """Bring ``study`` up to date and say what was done; return whether all that it checks holds."""
    lines: list[dict[str, str]] = []

    def say(name: str, what: str) -> None:
        lines.append({"of": name, "did": what})
        if not as_json:
            click.echo(wrapped(name, what))

    record = bring_up_to_date(study, place, say, quiet=quiet or as_json)
    holds = all(each["holds"] for each in record["analyses"].values())
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
    return holds


def find_paths(study: Study, out: Path | None, store: Path | None) -> StudyPaths:
    """Return where the files of a study go.

    Results to ``out``, activations where the option or the file says, or below.
    """
    folder = out or Path(f"actlas-{study.path.stem}")
    return StudyPaths(folder, store or study.store or folder / "store")


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
