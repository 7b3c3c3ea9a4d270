"""Extraction to disk against the bare forward pass, alternating in one process.

The weights are random, the geometry is real.

    python scripts/bench/extraction.py --geometry gpt2-xl

The forward pass is ``model(token_ids)`` under ``inference_mode``, logits included. Extraction is
all of ``actlas extract`` but loading the model: hooks, token loss, shard, checksums, fsync, commit.
Prints medians, the ratio, bytes and peak memory.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from actlas.pipeline.extraction.loop import extract_with
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder, load, resolve
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.bench.common.synthetic import labels_of
from actlas.scripts.terminal.text import size, table
from actlas.store.catalog import Store
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
    "--geometry", type=click.Choice(list(GEOMETRIES)), default="gpt2-xl", show_default=True
)
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option(
    "--runs", default=5, show_default=True, help="Counted runs of each way, after one that is not."
)
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's folder for temporary files]",
)
def main(
    geometry: str, sentences: int, tokens: int, runs: int, threads: int, folder: Path | None
) -> None:
    """Measure extraction against the bare forward pass."""
    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        model_folder = random_model(Path(scratch) / "model", *GEOMETRIES[geometry])
        device = torch.device("cpu")
        model = load(model_folder, dtype=torch.float32, device=device, attention="sdpa")
        labels = labels_of(sentences, tokens, model_folder.geometry.vocabulary)
        token_ids = torch.from_numpy(
            labels.token["token_id"].reshape(sentences, tokens).astype(np.int64)
        )
        forward, extraction, written = alternate(
            model, model_folder, labels, token_ids, runs, Path(scratch)
        )
    ratios = [b / a for a, b in zip(forward.seconds, extraction.seconds, strict=True)]
    click.echo(
        f"{geometry} geometry, float32, {sentences} × {tokens} tokens, sites "
        f"{' '.join(DEFAULT_SITES)}, {threads} threads\n"
    )
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


def alternate(
    model: Model,
    folder: ModelFolder,
    labels: Labels,
    token_ids: torch.Tensor,
    runs: int,
    scratch: Path,
) -> tuple[Measured, Measured, int]:
    """Run both in turn, once uncounted; return their measures and the bytes of a run."""
    import torch

    forward, extraction = Measured(), Measured()
    tokens = Tokenized(labels, (), SpecialTokens(), "")
    options = ExtractOptions(DEFAULT_SITES, unit_tokens=token_ids.numel())

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
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_layer=blocks, n_head=heads, n_embd=d_model))
    model.to_empty(device="cpu")
    model.tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    model.save_pretrained(folder)
    return resolve(str(folder))


if __name__ == "__main__":
    main()
