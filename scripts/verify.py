"""``actlas verify``: every stored byte against its checksum."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.options import json_option, store_option
from actlas.scripts.terminal import echo_json, size
from actlas.store.catalog import Store
from actlas.store.checking import Checked, verify


@click.command("verify")
@click.argument("reference", metavar="[RUN]", required=False)
@store_option
@json_option
def command(reference: str | None, store_path: Path, as_json: bool) -> None:
    """Check every committed byte of RUN, or of all runs; exit with 1 if anything is missing or altered."""
    store = Store(store_path)
    runs = [store.run(reference)] if reference else store.runs()
    checked = {run.name: list(verify(run)) for run in runs}
    problems = [problem for items in checked.values() for item in items for problem in item.problems]
    if as_json:
        echo_json({"runs": {name: _record(items) for name, items in checked.items()}, "problems": problems})
    else:
        if not runs:
            click.echo(f"{store_path} holds no run yet: nothing to check")
        for name, items in checked.items():
            bad = sum(bool(item.problems) for item in items)
            verdict = "ok" if not bad else f"{bad} DAMAGED"
            click.echo(f"{name}: {len(items)} shards, {size(sum(item.nbytes for item in items))}, {verdict}")
        for problem in problems:
            click.echo(f"  {problem}", err=True)
    sys.exit(1 if problems else 0)


def _record(items: list[Checked]) -> dict[str, int]:
    return {
        "commits": len(items),
        "bytes": sum(item.nbytes for item in items),
        "damaged": sum(bool(i.problems) for i in items),
    }
