"""``actlas verify``: every stored byte against its checksum."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.options import json_option, store_option
from actlas.scripts.terminal import echo_json, printable, size
from actlas.store.catalog import Store
from actlas.store.checking import Checked, verify
from actlas.store.run import Run


@click.command("verify")
@click.argument("reference", metavar="[RUN]", required=False)
@store_option
@json_option
def command(reference: str | None, store_path: Path, as_json: bool) -> None:
    """Check every committed byte of RUN, or of all runs; exit with 1 if anything is missing or altered."""
    store = Store(store_path)
    runs, damaged = ([store.run(reference)], {}) if reference else store.survey()
    checked = {run.name: list(verify(run)) for run in runs}
    problems = [problem for items in checked.values() for item in items for problem in item.problems]
    problems += [str(error) for error in damaged.values()]
    lacking = {run.name: _lacking(run) for run in runs if not any(item.problems for item in checked[run.name])}
    if as_json:
        echo_json({"runs": {name: _record(items) for name, items in checked.items()}, "problems": problems})
    else:
        if not runs and not damaged:
            click.echo(f"{store_path} holds no run yet: nothing to check")
        for name, items in checked.items():
            bad = sum(bool(item.problems) for item in items)
            verdict = "ok" if not bad else f"{bad} DAMAGED"
            click.echo(
                f"{name}: {len(items)} shards, {size(sum(item.nbytes for item in items))}, {verdict}{lacking.get(name, '')}"
            )
        for name in damaged:
            click.echo(f"{name}: DAMAGED")
        for problem in problems:
            click.echo(printable(f"  {problem}"), err=True)
    sys.exit(1 if problems else 0)


def _lacking(run: Run) -> str:
    """Return what a run without damage still lacks: never extracted, or its commits were removed; the two look alike."""
    held = sorted({site for commit in run.commits for site in commit.sites})
    missing = run.missing(held)
    units = len(missing) if held else len(run.units)
    return f"; {units} of {len(run.units)} units are not stored: the same `actlas extract` makes them" if units else ""


def _record(items: list[Checked]) -> dict[str, int]:
    return {
        "commits": len(items),
        "bytes": sum(item.nbytes for item in items),
        "damaged": sum(bool(i.problems) for i in items),
    }
