"""A sweep that skips each block in turn, against as many full extractions of the same sites.

Both alternate in one process.

    python scripts/bench/sweep.py

Both are all of an extraction but loading the model: forward pass, token loss, shard, checksums,
fsync, commit. The baseline is stored before, as it is where an observation is there already; a line
says what the sweep costs with it.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction.loop import extract_with
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder, load
from actlas.scripts.bench.common.measuring import Measured
from actlas.scripts.bench.common.synthetic import labels_of
from actlas.scripts.bench.extraction import GEOMETRIES, random_model
from actlas.scripts.commands.sweep import SWEEP_SITES
from actlas.scripts.terminal.text import size, table
from actlas.store.catalog import Store
from actlas.store.labels.special import SpecialTokens

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Model


@click.command()
@click.option("--geometry", type=click.Choice(list(GEOMETRIES)), default="gpt2", show_default=True)
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option("--runs", default=3, show_default=True, help="Counted sweeps, after one that is not.")
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's folder for temporary files]",
)
def main(
    geometry: str, sentences: int, tokens: int, runs: int, threads: int, folder: Path | None
) -> None:
    """Measure a sweep over all blocks against full extractions."""
    import torch

    torch.set_num_threads(threads)
    options = ExtractOptions(SWEEP_SITES, unit_tokens=sentences * tokens)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        model_folder = random_model(Path(scratch) / "model", *GEOMETRIES[geometry])
        model = load(
            model_folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa"
        )
        labels = Tokenized(
            labels_of(sentences, tokens, model_folder.geometry.vocabulary), (), SpecialTokens(), ""
        )
        rounds = [
            sweep(model, model_folder, labels, options, Path(scratch)) for _ in range(runs + 1)
        ][1:]
    blocks = model_folder.geometry.n_layer
    click.echo(
        f"{geometry} geometry, float32, {sentences} × {tokens} tokens, sites "
        f"{' '.join(SWEEP_SITES)}, {threads} threads: "
        f"each of {blocks} blocks skipped in turn\n"
    )
    rows = []
    for name in ("full extractions", "sweep"):
        seconds = statistics.median(sum(r.seconds[name]) for r in rounds)
        rows.append((name, f"{seconds:.2f}", size(sum(rounds[0].nbytes[name]))))
    click.echo(table(("way", "median s", "written"), rows))
    ratios = [sum(r.seconds["sweep"]) / sum(r.seconds["full extractions"]) for r in rounds]
    # the first full extraction is what the baseline costs too
    whole = [
        (sum(r.seconds["sweep"]) + statistics.mean(r.seconds["full extractions"]))
        / sum(r.seconds["full extractions"])
        for r in rounds
    ]
    written = sum(rounds[0].nbytes["sweep"]) / sum(rounds[0].nbytes["full extractions"])
    click.echo(f"\nratio of seconds     {_spread(ratios)}")
    click.echo(f"with the baseline    {_spread(whole)}")
    click.echo(f"ratio of bytes       {written:.2f}")


def _spread(ratios: list[float]) -> str:
    median = statistics.median(ratios)
    return f"median {median:.2f}, {min(ratios):.2f} to {max(ratios):.2f}"


class Round:
    """Seconds and bytes of one sweep and of as many full extractions, block by block."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"full extractions": [], "sweep": []}
        self.nbytes: dict[str, list[int]] = {"full extractions": [], "sweep": []}


def sweep(
    model: Model,
    folder: ModelFolder,
    labels: Tokenized,
    options: ExtractOptions,
    scratch: Path,
) -> Round:
    """Store a baseline.

    Then, block by block, extract in full into a new store and extract the variant that skips the
    block.
    """
    found = Round()
    with tempfile.TemporaryDirectory(dir=scratch, prefix="sweep-") as place:
        store = Store.create(place)
        _extract(model, store, folder, labels, options)
        for block in range(folder.geometry.n_layer):
            with tempfile.TemporaryDirectory(dir=scratch, prefix="full-") as other:
                _note(
                    found,
                    "full extractions",
                    _extract(model, Store.create(other), folder, labels, options),
                )
            edits = (parse_edit(f"skip:layer={block}"),)
            _note(
                found,
                "sweep",
                _extract(model, store, folder, labels, replace(options, edits=edits)),
            )
    return found


def _extract(
    model: Model,
    store: Store,
    folder: ModelFolder,
    labels: Tokenized,
    options: ExtractOptions,
) -> tuple[float, int]:
    """Extract and return the seconds, planning included, and the bytes written."""
    measured = Measured()
    written = []

    def work() -> None:
        plan = make_plan(store, folder, labels, "random", options)
        run = store.add(plan.specification, plan.description, plan.units)
        written.append(extract_with(model, plan, run).nbytes)

    measured.add(work)
    return measured.median, written[0]


def _note(found: Round, way: str, measured: tuple[float, int]) -> None:
    found.seconds[way].append(measured[0])
    found.nbytes[way].append(measured[1])


if __name__ == "__main__":
    main()
