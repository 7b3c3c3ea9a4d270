"""``actlas scan``: study 3, which blocks are redundant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from actlas.scripts.extraction.cluster_options import analysis_workers
from actlas.scripts.results.output import Answer, Destination, Output
from actlas.scripts.results.question import Question
from actlas.scripts.terminal.options import json_option, output_options, run_argument
from actlas.scripts.terminal.text import echo_json, table
from actlas.store.catalog import Store
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import EditRecord
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

SITES = ("resid", "nll")


@click.command("scan")
@run_argument
@output_options
@json_option
@analysis_workers
def command(run: Run, out: Destination, as_json: bool) -> None:
    """Rank the blocks of RUN by what skipping each costs: change of the loss, and of the last residual.

    RUN is the run without edits; `actlas sweep … --edit "skip:block=*"` makes the others.
    """
    result, output = scan_study(run, out)
    if as_json:
        blocks = [
            {"block": int(b), "nll_change": float(nll), "final_relative_delta": float(delta)}
            for b, nll, delta in zip(
                result["layer"], result["nll_change"], result["final_relative_delta"], strict=True
            )
        ]
        echo_json({"run": run.id, "blocks": blocks, "files": [str(path) for path in output.paths]})
        return
    click.echo(f"{scan_table(result)}\n\n{output}")


def scan_study(run: Run, out: Destination) -> tuple[xr.Dataset, Output]:
    """Find the variants, compute, write result and figure; raises UsageError where no block was skipped yet."""
    from actlas.analysis import plots
    from actlas.analysis.downstream.compute import redundancy

    if run.edits:
        raise UsageError(
            f"run {run.name} has edits itself: wanted the run without, {run.baseline.id if run.baseline else 'gone'}"
        )
    skipped = skipped_blocks(run)
    if not skipped:
        raise UsageError(
            f"no variant of run {run.name} skips a block: the sentences and options it was made with, in "
            '`actlas sweep SENTENCES … --edit "skip:block=*"`, make them'
        )
    try:
        lazy = redundancy(
            run.dataset(SITES),
            {block: variant.dataset(SITES) for block, variant in skipped.items()},
        )
    except ValueError as error:
        raise UsageError(f"run {run.name}: {error}") from error
    variants = list(skipped.values())
    answer = Answer(
        Question("scan", [run, *variants], {}),
        lazy,
        {"variants": [variant.name for variant in variants]},
    )
    answer.draw(plots.redundant_blocks(answer.result))
    return answer.result, answer.write(out)


def skipped_blocks(run: Run) -> dict[int, Run]:
    """Return block → the variant of ``run`` without it and without any other edit, by block."""
    blocks = {}
    for variant in Store(run.folder.parent.parent).variants(run.id):
        block = skipped_block(variant.edits)
        if block is not None:
            blocks[block] = variant
    return dict(sorted(blocks.items()))


def skipped_block(edits: Sequence[EditRecord]) -> int | None:
    """Return the block that these edits skip, None where they do anything else or more."""
    return edits[0].block if len(edits) == 1 and edits[0].kind == "skip" else None


def scan_table(result: xr.Dataset) -> str:
    """Return a row per block, the dearest first."""
    order = result["nll_change"].values.argsort()[::-1]
    rows = [
        (
            int(result["layer"][row]),
            f"{float(result['nll_change'][row]):+.4f}",
            f"{float(result['final_relative_delta'][row]):.3g}",
        )
        for row in order
    ]
    return table(("block", "change of loss (nats)", "last residual, relative"), rows)
