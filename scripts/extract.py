"""``actlas extract``: sentences through a model, once, into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.pipeline.plan import ExtractOptions, Plan
from actlas.pipeline.sites import DEFAULT_SITES, SITES, site_names
from actlas.scripts.extraction import Request, carry_out, echo_skipped, plan_request
from actlas.scripts.options import json_option, store_option
from actlas.scripts.terminal import echo_json, size
from actlas.store.errors import IncompleteRun, UsageError
from actlas.store.schema import NUMPY_VIEW

if TYPE_CHECKING:
    from actlas.pipeline.extract import Tally
    from actlas.store.run import Run

DTYPES = tuple(NUMPY_VIEW)


@click.command("extract", epilog=f"Sites: {' '.join(SITES)}. TransformerLens names are understood too.")
@click.argument("sentences")
@click.option(
    "--model", default="demo", show_default=True, help="demo, a local folder, or a hub id (gpt2 … gpt2-xl, distilgpt2)."
)
@click.option("--revision", help="Commit, tag or branch of a hub model; the one that was used is recorded.")
@store_option
@click.option(
    "--site",
    "sites",
    multiple=True,
    metavar="SITE",
    help=f"What to keep; may be repeated.  [default: {' '.join(DEFAULT_SITES)}]",
)
@click.option("--name", help="Name of the run.  [default: file and model]")
@click.option("--text-column", default="text", show_default=True, help="Column of a .csv or .jsonl that holds the sentence.")
@click.option("--bos", is_flag=True, help="Put the model's BOS token in front of each sentence.")
@click.option("--skip-bad", is_flag=True, help="Leave out lines that cannot be used, and list them.")
@click.option("--unit-tokens", type=click.IntRange(1), default=2048, show_default=True, help="Tokens a batch, padding counted.")
@click.option("--device", default="auto", show_default=True, help="auto (a GPU where there is one), cpu, cuda or cuda:N.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="Precision of the computation.")
@click.option("--stored-dtype", type=click.Choice(DTYPES), help="Precision of the store.  [default: as computed]")
@click.option(
    "--attention",
    type=click.Choice(["sdpa", "eager"]),
    default="sdpa",
    show_default=True,
    help="Implementation of attention.",
)
@click.option("--train-mode", is_flag=True, help="Leave dropout on, as in training: for showing what it does.")
@click.option("--seed", type=int, help="Seed of the dropout of --train-mode, drawn anew for each sentence.  [default: 0]")
@click.option("--dry-run", is_flag=True, help="Say what would be computed and what it costs; change nothing.")
@click.option("--cached-only", is_flag=True, help="Answer from the store or fail; never load the model.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
def command(
    sentences: str,
    sites: tuple[str, ...],
    store_path: Path,
    dry_run: bool,
    cached_only: bool,
    quiet: bool,
    as_json: bool,
    train_mode: bool,
    seed: int | None,
    **chosen: Any,
) -> None:
    """Run SENTENCES through a model once and keep the activations of every layer.

    SENTENCES is a .txt file (a sentence a line), a .csv or .jsonl file, or - for lines on standard input.
    What is stored already is not computed again: the same command resumes, and further sites are added to the same run.
    """
    numerics = {key: chosen.pop(key) for key in ("dtype", "stored_dtype", "attention", "unit_tokens", "device")}
    if seed is not None and not train_mode:
        raise UsageError("--seed is of the dropout of --train-mode: give both, or neither")
    dropout_seed = (seed or 0) if train_mode else None
    options = ExtractOptions(site_names(sites or DEFAULT_SITES), **numerics, dropout_seed=dropout_seed)
    request = Request(sentences, store_path, options, **chosen)
    planned = plan_request(request)
    echo_skipped(planned.skipped)
    if dry_run:
        echo_json(_plan_record(planned.plan)) if as_json else click.echo(_plan_text(planned.plan))
        return
    if cached_only and planned.plan.missing:
        raise IncompleteRun(_miss(planned.plan))
    run, tally = carry_out(request, planned.plan, quiet=quiet or as_json)
    if planned.plan.relabelled():
        click.echo("note: the run keeps the texts and columns it was first stored with; those of this input differ", err=True)
    echo_json(_record(run, tally, planned.plan)) if as_json else click.echo(_text(run, tally, planned.plan))


def _miss(plan: Plan) -> str:
    """Return one line: what is not stored, and what the nearest run differs in."""
    lacking = f"{len(plan.missing)} of {len(plan.units)} units"
    if plan.run:
        return f"run {plan.run.name} lacks {' '.join(_sites(plan))} in {lacking}: leave --cached-only out to compute them"
    return f"not stored: {_nearest(plan)}; leave --cached-only out to compute {lacking}"


def _nearest(plan: Plan) -> str:
    near = plan.nearest()
    return f"the nearest run, {near[0].name}, differs in {'; '.join(near[1])}" if near else "the store has no run yet"


def _sites(plan: Plan) -> list[str]:
    return [site for site in SITES if any(site in sites for _, sites in plan.missing)]


def _plan_text(plan: Plan) -> str:
    state = "new" if not plan.run else "stored in part" if plan.missing else "stored"
    lines = [
        f"run         {plan.run.name if plan.run else plan.run_id}: {state}",
        f"sentences   {len(plan.tokens.labels.text)}, {plan.tokens.labels.tokens} tokens in {len(plan.units)} units",
        f"sites       {' '.join(plan.options.sites)}",
        f"stored      {len(plan.units) - len(plan.missing)} of {len(plan.units)} units",
    ]
    if plan.missing:
        lines.append(f"to compute  {' '.join(_sites(plan))} in {len(plan.missing)} units")
        lines.append(f"to write    {size(plan.missing_bytes)}")
        lines.append(f"memory      about {size(plan.memory_bytes)}")
    if not plan.run:
        lines.append(f"nearest     {_nearest(plan)}")
    return "\n".join(lines)


def _plan_record(plan: Plan) -> dict[str, Any]:
    near = plan.nearest()
    return {
        "run": plan.run_id,
        "sentences": len(plan.tokens.labels.text),
        "tokens": plan.tokens.labels.tokens,
        "sites": list(plan.options.sites),
        "units": len(plan.units),
        "missing": {"units": len(plan.missing), "sites": _sites(plan), "bytes": plan.missing_bytes},
        "memory_bytes": plan.memory_bytes,
        "nearest": {"run": near[0].name, "differs": near[1]} if near else None,
    }


def _text(run: Run, tally: Tally | None, plan: Plan) -> str:
    head = f"run {run.name} ({run.id}): {run.sentences} sentences, {run.tokens} tokens, sites {' '.join(plan.options.sites)}"
    if tally is None:
        return f"{head}\nall stored already: nothing computed"
    seconds = ", ".join(f"{part} {value:.1f} s" for part, value in tally.seconds.items())
    cached = len(plan.units) - len(plan.missing)
    lines = [
        head,
        f"computed {tally.units} units, {tally.tokens} tokens, {size(tally.nbytes)} on {tally.device}: {seconds}",
    ]
    if cached or tally.lost_races:
        lines.append(f"{cached} units were stored already, {tally.lost_races} were committed by another process meanwhile")
    return "\n".join(lines)


def _record(run: Run, tally: Tally | None, plan: Plan) -> dict[str, Any]:
    return {
        "run": run.id,
        "name": run.name,
        "sentences": run.sentences,
        "tokens": run.tokens,
        "sites": list(plan.options.sites),
        "units": {
            "total": len(plan.units),
            "cached": len(plan.units) - len(plan.missing),
            "computed": tally.units if tally else 0,
        },
        "bytes_written": tally.nbytes if tally else 0,
        "seconds": tally.seconds if tally else {"load": 0.0, "forward": 0.0, "store": 0.0},
        "device": tally.device if tally else None,
    }
