"""``actlas index``: make a store readable from a plain web server."""

from __future__ import annotations

from pathlib import Path

import click

from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json


@click.command(
    "index",
    cls=SectionedCommand,
    examples=[
        "actlas index --store actlas-demo/store",
    ],
)
@store_option
@json_option
def command(store_path: Path, as_json: bool) -> None:
    """Write the list of the store's files, index.json, that reading over HTTP needs.

    Run it again when the store has grown. S3 lists files by itself.
    """
    from actlas.store.catalog import Store
    from actlas.store.maintenance.index_file import write_index
    from actlas.store.remote.listing import INDEX

    path = Store(store_path).path
    files = write_index(path)
    if as_json:
        echo_json({"index": str(path / INDEX), "files": files})
        return
    click.echo(f"{path / INDEX}: {counted(files, 'file')}")
