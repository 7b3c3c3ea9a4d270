"""``actlas variance``: study 1, how context enters a word."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.options import (
    json_option,
    output_options,
    run_argument,
    target_options,
)
from actlas.scripts.terminal.text import echo_json, table
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.data.tokens import Target

SHOWN_LAYERS = 9


@click.command("variance")
@run_argument
@target_options
@click.option(
    "--bootstrap",
    type=number("bootstrap"),
    default=0,
    show_default=True,
    help="Resamples for a 95 % band; 0 for none.",
)
@output_options
@json_option
@analysis_workers
def command(run: Run, target: Target, bootstrap: int, out: Destination, as_json: bool) -> None:
    """Variance and mean of target and control tokens in Q, K and V of RUN, layer by layer.

    Near zero: the model treats the word alike everywhere. Growth with depth: context enters.
    """
    result, output, summary = variance_study(run, target, out, bootstrap)
    if as_json:
        variance = result["variance"].transpose("projection", "group", "layer")
        groups = [str(group) for group in variance["group"].values]
        rows = {
            str(p): dict(zip(groups, variance.sel(projection=p).values.tolist(), strict=True))
            for p in variance["projection"].values
        }
        echo_json(
            {
                "run": run.id,
                "selection": summary,
                "variance": rows,
                "files": [str(path) for path in output.paths],
            }
        )
        return
    click.echo(f"{summary}\n\n{variance_table(result)}\n\n{output}")


def variance_study(
    run: Run, target: Target, out: Destination, bootstrap: int = 0
) -> tuple[xr.Dataset, Output, str]:
    """Select, compute, write result and figure; return the result, what was written and a line on the selection."""
    from actlas.analysis import plots
    from actlas.analysis.data.tokens import select_tokens
    from actlas.analysis.variance.compute import PROJECTIONS, variance_bootstrap, variance_profile

    dataset = run.dataset(sites=PROJECTIONS)
    selection = select_tokens(dataset, target)
    profile = variance_profile(dataset, selection)
    if bootstrap:
        profile["variance_bootstrap"] = variance_bootstrap(
            dataset, selection, resamples=bootstrap, seed=target.seed
        )
    options = {**dataclasses.asdict(target), "bootstrap": bootstrap}
    answer = Answer(Question("variance", [run], options, target.word), profile, selection.record())
    answer.draw(plots.variance_profile(answer.result, target.word))
    return answer.result, answer.write(out), selection.summary()


def variance_table(result: xr.Dataset) -> str:
    """Return the variances of target and control, block by block, at most SHOWN_LAYERS of them."""
    layers = result.sizes["layer"]
    step = max(1, -(-(layers - 1) // (SHOWN_LAYERS - 1)))
    shown = sorted({*range(0, layers, step), layers - 1})
    header = [
        "block",
        *(
            f"{p.upper()} {group}"
            for p in result["projection"].values
            for group in result["group"].values
        ),
    ]
    rows = []
    for layer in shown:
        values = (
            result["variance"].isel(layer=layer).transpose("projection", "group").values.ravel()
        )
        rows.append([str(result["layer"].values[layer]), *(f"{value:.4g}" for value in values)])
    return "variance over tokens, mean over features\n" + table(header, rows)
