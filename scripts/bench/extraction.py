"""Extraction to disk against the bare forward pass, alternating in one process.

The weights are random, the geometry is real.

    python scripts/bench/extraction.py --geometry gpt2-xl --geometry pythia-1.4b

The forward pass is ``model(token_ids)`` under ``inference_mode``, logits included. Extraction is
all of ``actlas extract`` but loading the model: hooks, token loss, shard, checksums, fsync, commit.
Prints medians, the ratio, bytes and peak memory.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from actlas.pipeline.extraction.loop import extract_with
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder, load
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.bench.common.random_models import (
    CONFIGURATIONS,
    gpt2_configuration,
    random_folder,
)
from actlas.scripts.bench.common.synthetic import labels_of
from actlas.scripts.terminal.text import size, table
from actlas.store.catalog import Store
from actlas.store.format.schema import StoredDtype
from actlas.store.labels.special import SpecialTokens

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model
    from actlas.store.labels.labels import Labels

GEOMETRIES = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}


@click.command()
@click.option(
    "--geometry",
    "geometries",
    type=click.Choice([*GEOMETRIES, *CONFIGURATIONS]),
    multiple=True,
    default=("gpt2-xl",),
    show_default=True,
    help="May be given several times: ratios of one run can be compared.",
)
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option(
    "--runs", default=5, show_default=True, help="Counted runs of each way, after one that is not."
)
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True
)
@click.option("--layers", type=int, help="Blocks of each model, where all are too many.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's folder for temporary files]",
)
def main(
    geometries: tuple[str, ...],
    sentences: int,
    tokens: int,
    runs: int,
    threads: int,
    dtype: StoredDtype,
    layers: int | None,
    folder: Path | None,
) -> None:
    """Measure extraction against the bare forward pass."""
    import torch

    torch.set_num_threads(threads)
    click.echo(
        f"{dtype}, {sentences} × {tokens} tokens, sites {' '.join(DEFAULT_SITES)}, "
        f"{threads} threads"
    )
    medians = {}
    for geometry in geometries:
        with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
            config = configuration(geometry, layers)
            model = random_folder(Path(scratch) / "model", config, dtype)
            blocks = model.geometry.n_layer
            click.echo(f"\n{geometry} geometry, random weights, {blocks} blocks\n")
            labels = labels_of(sentences, tokens, model.geometry.vocabulary)
            medians[geometry] = measure(model, labels, dtype, runs, Path(scratch))
    if len(medians) > 1:
        shown = "   ".join(f"{name} {median:.2f}" for name, median in medians.items())
        click.echo(f"\nratios of this run     {shown}")


def configuration(geometry: str, layers: int | None) -> dict[str, Any]:
    """Return the config.json of a geometry, of ``layers`` blocks where that is given."""
    if geometry in CONFIGURATIONS:
        whole = dict(CONFIGURATIONS[geometry])
        return whole if layers is None else {**whole, "num_hidden_layers": layers}
    blocks, heads, d_model = GEOMETRIES[geometry]
    return gpt2_configuration(layers or blocks, heads, d_model)


def measure(
    folder: ModelFolder, labels: Labels, dtype: StoredDtype, runs: int, scratch: Path
) -> float:
    """Measure both ways with one model, print them, and return the median ratio."""
    import torch

    model = load(folder, dtype=getattr(torch, dtype), device=torch.device("cpu"), attention="sdpa")
    token_ids = torch.from_numpy(
        labels.token["token_id"].reshape(len(labels.text), -1).astype(np.int64)
    )
    forward, extraction, written = alternate(model, folder, labels, token_ids, runs, scratch, dtype)
    ratios = [b / a for a, b in zip(forward.seconds, extraction.seconds, strict=True)]
    click.echo(table(HEADER, [forward.row("forward pass"), extraction.row("extraction")]))
    click.echo(
        f"\nratio of each pair   median {statistics.median(ratios):.2f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f}"
    )
    click.echo(f"written              {size(written)}")
    click.echo(
        f"extra peak memory    {size(max(0, extraction.peak - forward.peak))} over the "
        "forward pass's"
    )
    return statistics.median(ratios)


def alternate(
    model: Model,
    folder: ModelFolder,
    labels: Labels,
    token_ids: torch.Tensor,
    runs: int,
    scratch: Path,
    dtype: StoredDtype,
) -> tuple[Measured, Measured, int]:
    """Run both in turn, once uncounted; return their measures and the bytes of a run."""
    import torch

    forward, extraction = Measured(), Measured()
    tokens = Tokenized(labels, (), SpecialTokens(), "")
    options = ExtractOptions(DEFAULT_SITES, dtype=dtype, unit_tokens=token_ids.numel())

    def bare() -> None:
        with torch.inference_mode():
            model(input_ids=token_ids, use_cache=False)

    written = 0
    for number in range(runs + 1):
        forward.add(bare, counted=number > 0)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="store-") as place:
            store = Store.create(place)
            plan = make_plan(store, folder, tokens, "random", options)
            run = store.add(plan.specification, plan.description, plan.units)
            extraction.add(partial(extract_with, model, plan, run), counted=number > 0)
            written = run.nbytes
    return forward, extraction, written


def random_model(folder: Path, blocks: int, heads: int, d_model: int) -> ModelFolder:
    """Save a GPT-2 of that geometry with random weights as a model folder."""
    return random_folder(folder, gpt2_configuration(blocks, heads, d_model))


if __name__ == "__main__":
    main()
