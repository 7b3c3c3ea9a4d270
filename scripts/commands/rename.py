"""``actlas rename``: another name for a run."""

from __future__ import annotations

from pathlib import Path

import click

from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json


@click.command(
    "rename",
    cls=SectionedCommand,
    examples=[
        "actlas rename mine-gpt2 first-try --store atlas",
    ],
)
@click.argument("reference", metavar="RUN", shell_complete=complete_run)
@click.argument("new", metavar="NEW")
@store_option
@json_option
def command(reference: str, new: str, store_path: Path, as_json: bool) -> None:
    """Call RUN by the name NEW from now on.

    RUN is the name to be replaced, or the id of a run with one name or none. Results that were
    written stay where they are.
    """
    from actlas.store.catalog import Store
    from actlas.store.maintenance.gc import rename

    run, old = rename(Store(store_path), reference, new)
    if as_json:
        echo_json({"run": run.id, "old": old, "names": run.names})
        return
    click.echo(f"run {run.id} is called {' '.join(run.names)}{f', no longer {old}' if old else ''}")
