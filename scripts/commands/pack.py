"""``actlas pack``: the many shards of a run packed into few."""

from __future__ import annotations

from pathlib import Path

import click

from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json

MEGABYTE = 1_000_000


@click.command(
    "pack",
    cls=SectionedCommand,
    examples=[
        "actlas pack english-demo --store actlas-demo/store",
    ],
)
@click.argument("reference", metavar="RUN", shell_complete=complete_run)
@store_option
@click.option(
    "--most",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="MB of activations a file at most.",
)
@json_option
def command(reference: str, store_path: Path, most: int, as_json: bool) -> None:
    """Pack the many small files of RUN into few; its id, units and values stay as they are.

    Takes the room of one packed shard meanwhile. Killed at any moment, the run is whole. Who has it
    open must open it again.
    """
    from actlas.scripts.extraction.packing import pack_with_bar
    from actlas.store.catalog import Store

    run = Store(store_path).run(reference)
    packed = pack_with_bar(run, most * MEGABYTE, quiet=as_json)
    if as_json:
        echo_json({"run": run.id, **packed.to_json()})
        return
    before = counted(packed.before, "file")
    click.echo(
        f"run {run.name}: {counted(packed.units, 'unit')} packed, {before} before, "
        f"{packed.after:,} now"
    )
