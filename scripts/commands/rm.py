"""``actlas rm``: a run and its names out of the store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.scripts.terminal.completion import complete_run
from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, size
from actlas.store.errors import StoreError


@click.command(
    "rm",
    cls=SectionedCommand,
    examples=[
        "actlas rm first-try --store atlas --force --yes",
    ],
)
@click.argument("reference", metavar="RUN", shell_complete=complete_run)
@store_option
@click.option("--force", is_flag=True, help="Remove a baseline too, although variants refer to it.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@json_option
def command(reference: str, store_path: Path, force: bool, yes: bool, as_json: bool) -> None:
    """Remove RUN and all its names from the store; there is no way back but extracting again.

    Refused while an extraction writes to it and while variants need it. Killed at any moment, the
    run is whole, or gone and `actlas gc` finishes.
    """
    from actlas.store.catalog import Store
    from actlas.store.maintenance.gc import check_removable, remove, tree_bytes
    from actlas.store.readouts.writing import unneeded

    store = Store(store_path)
    run_id = store.resolve(reference)
    check_removable(store, run_id, force=force)
    nbytes = tree_bytes(store.path / "runs" / run_id)
    if not yes and sys.stdin.isatty():
        names = [name for name, target in store.names().items() if target == run_id]
        if not click.confirm(
            f"Remove run {run_id} ({', '.join(names) or 'without a name'}), {size(nbytes)}?",
            err=True,
        ):
            raise StoreError(f"run {run_id} was not removed")
    stranded = ", ".join(sorted(run.name for run in store.variants(run_id)))
    removed = remove(store, run_id, force=force)
    if stranded:
        advice = "the `actlas extract` command of any makes it again, and `actlas rm` removes them"
        click.echo(f"note: {stranded} are its variants and need it: {advice}", err=True)
    if left := unneeded(store.path, [run.specification.get("model", {}) for run in store.runs()]):
        nbytes_left = size(sum(tree_bytes(path) for path in left))
        click.echo(
            f"note: no run needs {counted(len(left), 'readout')} ({nbytes_left}) now: `actlas gc` "
            "removes what is not needed",
            err=True,
        )
    if as_json:
        echo_json({"run": run_id, "names": removed, "bytes": nbytes})
        return
    click.echo(f"removed run {run_id} ({', '.join(removed) or 'without a name'}), {size(nbytes)}")
