"""``actlas du``: what takes the room in a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.extraction.kept import parts_in_words
from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json, size, table
from actlas.store.errors import DamagedStore

if TYPE_CHECKING:
    from actlas.store.maintenance.disk_usage import Usage


@click.command(
    "du",
    cls=SectionedCommand,
    examples=[
        "actlas du --store actlas-demo/store",
    ],
)
@store_option
@json_option
def command(store_path: Path, as_json: bool) -> None:
    """Show the bytes of each run, site by site, of readouts and of garbage."""
    from actlas.store.catalog import Store
    from actlas.store.maintenance.disk_usage import usage

    used = usage(Store(store_path))
    if as_json:
        runs = [_record(run) for run in used.runs]
        echo_json(
            {"runs": runs, "readouts": used.readouts, "garbage": used.garbage, "bytes": used.total}
        )
        return
    rows = [row for run in used.runs for row in rows_of(run)]
    rows += [[size(used.readouts), "", "readouts"]] if used.readouts else []
    rows += [[size(used.garbage), "", "garbage"], [size(used.total), "", "all"]]
    click.echo(table(["size", "site", "run"], rows))
    if used.garbage:
        click.echo("\n`actlas gc` removes the garbage")


def rows_of(run: Usage) -> list[list[str]]:
    """Return the lines of a run: size, site, name."""
    try:
        kept = parts_in_words(run.run, run.run.index.known)
    except DamagedStore:  # which tokens are kept stands in the shards; their sizes, in the records
        kept = {}
    sites = {f"{site} {kept[site]}" if site in kept else site: n for site, n in run.sites.items()}
    parts = {**sites, "(records, labels)": run.records, "(being written)": run.writing}
    rows = [[size(nbytes), name, ""] for name, nbytes in parts.items() if nbytes]
    return [[size(run.total - run.garbage), "", run.run.name], *rows]


def _record(run: Usage) -> dict[str, Any]:
    return {
        "id": run.run.id,
        "names": run.run.names,
        "sites": run.sites,
        "records": run.records,
        "writing": run.writing,
        "garbage": run.garbage,
        "bytes": run.total,
    }
