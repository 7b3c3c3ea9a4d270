"""``actlas ls``: the runs of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from actlas.scripts.options import json_option, store_option
from actlas.scripts.terminal import echo_json, size, table
from actlas.store.catalog import Store
from actlas.store.run import Run


@click.command("ls")
@store_option
@json_option
def command(store_path: Path, as_json: bool) -> None:
    """List the runs of a store, oldest first."""
    runs = Store(store_path).runs()
    if as_json:
        echo_json({"runs": [_record(run) for run in runs]})
        return
    if not runs:
        click.echo(f"{store_path} holds no run yet: `actlas extract SENTENCES` makes one")
        return
    rows = [
        (
            run.name,
            run.id,
            run.description["model"]["name"],
            run.sentences,
            run.tokens,
            size(run.nbytes),
            len(run.sites),
        )
        for run in runs
    ]
    click.echo(table(("name", "id", "model", "sentences", "tokens", "size", "sites"), rows))


def _record(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "names": run.names,
        "model": run.description["model"]["name"],
        "sentences": run.sentences,
        "tokens": run.tokens,
        "sites": run.sites,
        "bytes": run.nbytes,
    }
