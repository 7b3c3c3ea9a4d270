"""``actlas verify``: every stored byte against its checksum."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from actlas.scripts.completion import complete_run
from actlas.scripts.options import is_export, is_results, json_option, open_run, store_option
from actlas.scripts.restoring import extract_command
from actlas.scripts.terminal import counted, echo_json, printable, size
from actlas.store.catalog import Store
from actlas.store.checking import Checked, verify
from actlas.store.errors import DamagedStore, UsageError
from actlas.store.repair import Repair, repair
from actlas.store.run import Run


@click.command("verify")
@click.argument("reference", metavar="[RUN|DIR]", required=False, shell_complete=complete_run)
@store_option
@click.option("--repair", "repairing", is_flag=True, help="Drop what is damaged, so that extracting again makes it anew.")
@json_option
def command(reference: str | None, store_path: Path, repairing: bool, as_json: bool) -> None:
    """Check every committed byte of RUN, or of all runs; exit with 1 if anything is missing or altered.

    RUN may be a file that `actlas export` made. DIR is a folder of results: every result and figure in it is checked.

    With --repair, damaged units leave their run, and the command that restores them is shown; it exits with 1 only if
    damage is left, such as files that could not be read for want of permission: these are never dropped.
    """
    if reference and is_results(reference, store_path):
        if repairing:
            raise UsageError(f"{reference} is a folder of results: run the study, or the commands that wrote them, again")
        from actlas.scripts.results_check import verify_folder

        sys.exit(0 if verify_folder(Path(reference), as_json=as_json) else 1)
    runs, damaged = _runs(reference, store_path)
    if repairing and reference and is_export(reference):
        raise UsageError(f"{reference} is an export, which cannot be repaired: export it again")
    checked = {run.name: list(_check(run)) for run in runs}
    repaired = {run.name: repair(run, checked[run.name]) for run in runs} if repairing else {}
    lost = [str(error) for error in damaged.values()]
    problems = [problem for items in checked.values() for item in items for problem in item.problems] + lost
    left = [reason for each in repaired.values() for reason in each.left] + lost if repairing else problems
    lacking = {run.name: _lacking_units(run) for run in runs if not any(item.problems for item in checked[run.name])}
    repairs = _repairs(runs, repaired, store_path)
    if as_json:
        record: dict[str, Any] = {"runs": {name: _record(items) for name, items in checked.items()}, "problems": problems}
        echo_json({**record, "repairs": repairs} if repairing else record)
    else:
        if not runs and not damaged:
            click.echo(f"{store_path} holds no run yet: nothing to check")
        _echo_verdicts(checked, lacking, damaged)
        for problem in problems:
            click.echo(printable(f"  {problem}"), err=True)
        _echo_repairs(repairs)
    sys.exit(1 if left else 0)


def _echo_verdicts(checked: dict[str, list[Checked]], lacking: dict[str, str], damaged: Iterable[str]) -> None:
    for name, items in checked.items():
        bad = sum(bool(item.problems) for item in items)
        commits = sum(item.kind == "commit" for item in items)
        verdict = "ok" if not bad else f"{bad} DAMAGED"
        read = size(sum(item.nbytes for item in items))
        click.echo(f"{name}: {counted(commits, 'commit')}, {read}, {verdict}{lacking.get(name, '')}")
    for name in damaged:
        click.echo(f"{name}: DAMAGED")


def _runs(reference: str | None, store: Path) -> tuple[list[Run], dict[str, DamagedStore]]:
    """Return the runs to check, and what of the store cannot be opened, by id or name."""
    return ([open_run(reference, store)], {}) if reference else Store(store).survey()


def _check(run: Run) -> Iterator[Checked]:
    from actlas.store.exported import Exported, verify_export

    return verify_export(run) if isinstance(run, Exported) else verify(run)


def _lacking_units(run: Run) -> str:
    """Return what a run without damage still lacks: never extracted, or its commits were removed; the two look alike."""
    held = sorted({site for commit in run.commits for site in commit.holds})
    missing = run.missing(held)
    units = len(missing) if held else len(run.units)
    return f"; {units} of {len(run.units)} units are not stored: the same `actlas extract` makes them" if units else ""


def _record(items: list[Checked]) -> dict[str, int]:
    return {
        "commits": sum(item.kind == "commit" for item in items),
        "bytes": sum(item.nbytes for item in items),
        "damaged": sum(bool(i.problems) for i in items),
    }


def _repairs(runs: list[Run], repaired: dict[str, Repair], store: Path) -> dict[str, Any]:
    """Return per repaired run what was dropped, what was left, and the command that restores it."""
    return {
        run.name: {
            "dropped": [{"commit": item.commit, "unit": item.unit, "sites": item.sites} for item in done.dropped],
            "mended": done.mended,
            "left": done.left,
            "restore": extract_command(run, _lacking(run, done), store) if done.dropped else None,
            "source": run.description.get("source"),
        }
        for run in runs
        if (done := repaired.get(run.name)) and (done.dropped or done.left or done.mended)
    }


def _lacking(run: Run, done: Repair) -> list[str]:
    """Return the sites to extract again; none, for the default ones, where a dropped commit did not say any more."""
    if not all(item.sites for item in done.dropped):
        held = {site for unit in run.units for site in run.held(unit.number)}
        return sorted(held | {site for item in done.dropped for site in item.sites})
    return sorted({site for item in done.dropped for site in item.sites})


def _echo_repairs(repairs: dict[str, Any]) -> None:
    for name, done in repairs.items():
        for item in done["dropped"]:
            sites = f" ({' '.join(item['sites'])})" if item["sites"] else ""
            click.echo(f"dropped unit {item['unit']}{sites} of {name}: {item['commit']}")
        for what in done["mended"]:
            click.echo(f"{name}: {what}")
        for reason in done["left"]:
            click.echo(f"  {reason}", err=True)
        if done["restore"]:
            click.echo(f"to restore it, with the sentences of {done['source']}:\n  {done['restore']}")
