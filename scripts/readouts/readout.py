"""``actlas readout``: what turns stored activations into words, of a model, into the store."""

from __future__ import annotations

from pathlib import Path

import click

from actlas.scripts.terminal.options import json_option, store_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json, size


@click.command(
    "readout",
    cls=SectionedCommand,
    examples=[
        "actlas readout demo --store actlas-demo/store --heads",
    ],
)
@click.argument("model")
@click.option("--revision", help="Commit, tag or branch of a hub model.")
@store_option
@click.option(
    "--heads", is_flag=True, help="Store the output matrices of attention too (`w_o`, `b_o`)."
)
@click.option(
    "--neurons", is_flag=True, help="Store the output matrices of MLPs too (`w_out`, `b_out`)."
)
@json_option
def command(
    model: str,
    revision: str | None,
    store_path: Path,
    heads: bool,
    neurons: bool,
    as_json: bool,
) -> None:
    """Store the final norm, the unembedding and the vocabulary of MODEL, once for all its runs.

    With them `actlas lens` and `actlas attribute` turn stored activations into words, without the
    model and without torch. `actlas extract` stores them too, but for the output matrices of
    attention and MLPs, which attribution to single heads and neurons takes. MODEL is demo, a local
    folder or a hub id.
    """
    from actlas.pipeline.models.folder import resolve
    from actlas.pipeline.readouts.making import make_readout
    from actlas.store.catalog import Store

    folder, store = resolve(model, revision), Store.create(store_path)
    made = [make_readout(store.path, folder)]
    made += [make_readout(store.path, folder, "heads")] if heads else []
    made += [make_readout(store.path, folder, "neurons")] if neurons else []
    if as_json:
        files = [{"path": str(path), "new": new} for path, new in made]
        echo_json({"weights": folder.weights_digest, "files": files})
        return
    for path, new in made:
        state = "stored" if new else "stored before"
        click.echo(f"readout {path} of {folder.name}: {state}, {size(path.stat().st_size)}")
