"""``actlas ls``: the runs of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.extraction.kept import parts_in_words
from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json, printable, size, table
from actlas.store.errors import DamagedStore

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


MOST_NAMES = 12  # characters of column names: a line has 80
COLUMNS = ("id", "model", "sentences", "tokens")


@click.command(
    "ls",
    cls=SectionedCommand,
    examples=[
        "actlas ls --store actlas-demo/store",
    ],
)
@store_option
@json_option
def command(store_path: Path, as_json: bool) -> None:
    """List the runs of a store, oldest first."""
    from actlas.store.catalog import Store

    runs, unreadable = Store(store_path).survey()
    damaged = {name: str(error) for name, error in unreadable.items()}
    records = []
    for run in runs:
        try:
            records.append(_record(run))
        except DamagedStore as error:
            damaged[run.name] = str(error)
    if as_json:
        echo_json({"runs": records, "damaged": damaged})
        return
    if not records and not damaged:
        click.echo(f"{store_path} holds no run yet: `actlas extract SENTENCES` makes one")
        return
    rows = [
        (
            *(record[key] for key in COLUMNS),
            *(
                size(record["bytes"]),
                f"{len(record['sites'])}{' (parts)' if record['parts'] else ''}",
                _labels(record["labels"]),
                (*record["names"], "")[0],
            ),
        )
        for record in records
    ]
    click.echo(table((*COLUMNS, "size", "sites", "labels", "name"), rows))
    for line in damaged.values():
        click.echo(printable(f"damaged: {line}"), err=True)


def _labels(labels: dict[str, Any]) -> str:
    """Return version and columns in short; `actlas show` has them in full."""
    names = " ".join(labels["columns"])
    shown = names if len(names) <= MOST_NAMES else f"{names[: MOST_NAMES - 1]}…"
    return f"v{labels['version']} {shown}".rstrip()


def _record(run: Run) -> dict[str, Any]:
    model = run.description.get("model")
    return {
        "id": run.id,
        "names": run.names,
        "model": str(model.get("name")) if isinstance(model, dict) else "unknown",
        "sentences": run.sentences,
        "tokens": run.tokens,
        "sites": run.sites,
        "parts": parts_in_words(run, run.index.readable_numbers),
        "bytes": run.nbytes,
        "labels": {"version": run.labels_version, "columns": list(run.label_record.columns)},
    }
