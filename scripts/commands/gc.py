"""``actlas gc``: what nothing needs any more, out of the store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, size


@click.command(
    "gc",
    cls=SectionedCommand,
    examples=[
        "actlas gc --store actlas-demo/store --dry-run",
    ],
)
@store_option
@click.option("--dry-run", is_flag=True, help="List what would be removed; change nothing.")
@json_option
def command(store_path: Path, dry_run: bool, as_json: bool) -> None:
    """Remove what killed commands left behind, and what nothing needs any more.

    Unfinished units, shards without a commit, half-removed runs, names of no run; readouts of
    models that no run is of; and shards of some tokens whose numbers are stored for more.

    What a living command works on is never touched, whatever its age. Exits with 1 where damage
    keeps something from being removed.
    """
    from actlas.store.catalog import Store
    from actlas.store.maintenance.gc import collect

    found = collect(Store(store_path), dry_run=dry_run)
    total = sum(item.nbytes for item in found.garbage)
    for problem in found.problems:
        click.echo(f"  {problem}", err=True)
    if as_json:
        items = [
            {"path": str(item.path), "kind": item.kind, "bytes": item.nbytes}
            for item in found.garbage
        ]
        echo_json(
            {"dry_run": dry_run, "garbage": items, "bytes": total, "problems": found.problems}
        )
    else:
        for item in found.garbage:
            click.echo(f"{item.path}: {item.kind}, {size(item.nbytes)}")
        click.echo(
            f"{counted(len(found.garbage), 'item')}, "
            f"{size(total)}{': nothing was removed' if dry_run else ' removed'}"
        )
    sys.exit(1 if found.problems else 0)
