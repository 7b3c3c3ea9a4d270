"""``actlas cosine``: study 1, how alike features are over contexts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.options import (
    json_option,
    output_options,
    parse_layers,
    run_argument,
    target_options,
)
from actlas.scripts.terminal.text import echo_json, plain_numbers, table
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.data.tokens import Target


@click.command("cosine")
@run_argument
@target_options
@click.option(
    "--bins",
    type=number("bins"),
    default=100,
    show_default=True,
    help="Bins of the histograms, equal, over [-1, 1].",
)
@click.option(
    "--center",
    is_flag=True,
    help="Take each feature's mean off first: K and V then no longer measure a constant offset.",
)
@click.option(
    "--layers",
    metavar="LIST",
    help="Blocks of the model, such as 0,12,47 or 0-5,47.  [default: all]",
)
@click.option(
    "--save-matrix",
    is_flag=True,
    help="Write the whole matrix of the chosen layers too, to a file of its own.",
)
@output_options
@json_option
@analysis_workers
def command(
    run: Run,
    target: Target,
    bins: int,
    center: bool,
    layers: str | None,
    save_matrix: bool,
    out: Destination,
    as_json: bool,
) -> None:
    """Cosines between the features of Q, K and V of RUN over the contexts of a word.

    Every pair of features is compared in six blocks, QQ, KK, VV, QK, QV and KV; the histograms are stacked over layers.
    Cosines near ±1: the features do not tell contexts apart. Near 0: each has its own say.
    """
    study = CosineOptions(bins, center, layers, save_matrix)
    result, output, summary = cosine_study(run, target, study, out)
    if as_json:
        echo_json(
            {
                "run": run.id,
                "selection": summary,
                "mean_abs": _record(result),
                "files": [str(path) for path in output.paths],
            }
        )
        return
    click.echo(f"{summary}\n\n{cosine_table(result)}\n\n{output}")


@dataclasses.dataclass(frozen=True)
class CosineOptions:
    """How cosines are counted and what is written."""

    bins: int = 100
    center: bool = False
    layers: str | None = None  # as on the command line; all where None
    save_matrix: bool = False


def cosine_study(
    run: Run, target: Target, study: CosineOptions, out: Destination
) -> tuple[xr.Dataset, Output, str]:
    """Select, count, write result, figures and, if wanted, the matrix; return the result, what was written, the selection."""
    from actlas.analysis import plots
    from actlas.analysis.cosine.compute import cosine_blocks, cosine_matrix
    from actlas.analysis.data.tokens import select_tokens
    from actlas.analysis.variance.compute import PROJECTIONS

    dataset = run.dataset(sites=PROJECTIONS)
    dataset = dataset.sel(layer=parse_layers(study.layers, dataset["layer"].values.tolist()))
    selection = select_tokens(dataset, target)
    options = {**dataclasses.asdict(target), **dataclasses.asdict(study)}
    blocks = cosine_blocks(dataset, selection, bins=study.bins, center=study.center)
    answer = Answer(Question("cosine", [run], options, target.word), blocks, selection.record())
    matrix = cosine_matrix(dataset, selection, center=study.center)
    answer.draw(plots.cosine_ridgelines(answer.result, target.word))
    answer.draw(plots.cosine_heatmap(answer.result, target.word), "heatmap")
    answer.draw(plots.cosine_profile(answer.result, target.word), "profile")
    answer.draw(plots.cosine_matrix(matrix.isel(layer=-1), target.word), "matrix")
    if study.save_matrix:
        answer.take_large("matrix", matrix)
    return answer.result, answer.write(out), selection.summary()


def cosine_table(result: xr.Dataset) -> str:
    """Return mean |cos| and the share near ±1 of each block at the first, middle and last layer."""
    layers = result["layer"].values
    shown = sorted({0, len(layers) // 2, len(layers) - 1})
    header = ["block", "layer", "target", "control", "target>0.9", "control>0.9"]
    rows = [
        [str(block), str(layers[index]), *_cells(result.sel(block=block).isel(layer=index))]
        for block in result["block"].values
        for index in shown
    ]
    undefined = int(result["undefined"].sum())
    note = (
        f"\n{undefined} pairs of features had no cosine (zero, or constant with --center)"
        if undefined
        else ""
    )
    return f"mean |cosine|, and the share of pairs with |cosine| > 0.9\n{table(header, rows)}{note}"


def _cells(result: xr.Dataset) -> list[str]:
    groups = ("target", "control")
    means = [f"{float(result['mean_abs'].sel(group=group)):.3f}" for group in groups]
    return means + [f"{float(result['share_above_0.9'].sel(group=group)):.3f}" for group in groups]


def _record(result: xr.Dataset) -> dict[str, Any]:
    means = result["mean_abs"]
    groups = [str(group) for group in result["group"].values]
    return {
        str(block): {
            group: plain_numbers(means.sel(block=block, group=group).values) for group in groups
        }
        for block in result["block"].values
    }
