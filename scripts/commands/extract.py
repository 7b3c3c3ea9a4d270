"""``actlas extract``: sentences through a model, once, into the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from actlas.pipeline.models.sites import DEFAULT_SITES, SITES
from actlas.scripts.analyses.bounds import number
from actlas.scripts.extraction.edit_check import edit_check_lines, edit_check_record, edit_notes
from actlas.scripts.extraction.kept import parts_text
from actlas.scripts.extraction.planned import (
    kept_record,
    kept_text,
    label_lines,
    label_record,
    miss_text,
    plan_record,
    plan_text,
)
from actlas.scripts.terminal.completion import complete_sentences, complete_site
from actlas.scripts.terminal.options import extraction_options, json_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import counted, echo_json, extent, size
from actlas.store.errors import IncompleteRun, UsageError
from actlas.store.labels.special import special_of

if TYPE_CHECKING:
    from actlas.pipeline.extraction.plan import Plan
    from actlas.pipeline.extraction.progress import ExtractionStats
    from actlas.scripts.extraction.request import Request
    from actlas.store.runs.run import Run


@click.command(
    "extract",
    cls=SectionedCommand,
    examples=[
        "actlas extract mine.txt --model gpt2 --store atlas",
        'echo "We saw her." | actlas extract - --store atlas --name one',
    ],
    epilog=f"Sites: {' '.join(SITES)}. TransformerLens names are understood too.",
)
@click.argument("sentences", shell_complete=complete_sentences)
@extraction_options
@click.option(
    "--site",
    "sites",
    multiple=True,
    shell_complete=complete_site,
    metavar="SITE",
    help=f"What to keep; may be repeated.  [default: {' '.join(DEFAULT_SITES)}]",
)
@click.option(
    "--edit",
    "edits",
    multiple=True,
    metavar="EDIT",
    help="Intervene, such as skip:layer=5 or zero:site=z,layer=4,head=2; several act in one "
    "pass. The run without edits, if it "
    "is not stored, is made first.",
)
@click.option("--name", help="Name of the run.  [default: file, model and edits]")
@click.option(
    "--train-mode", is_flag=True, help="Leave dropout on, as in training: for showing what it does."
)
@click.option(
    "--generate",
    type=int,
    metavar="N",
    help="Extend each sentence by up to N tokens that the model writes, and keep the activations "
    "of both.",
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="Draw what is generated, at this temperature.  [default: the likeliest token]",
)
@click.option(
    "--seed",
    type=number("seed"),
    help="Seed of --temperature, or of the dropout of --train-mode, drawn again for each "
    "sentence.  [default: 0]",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be computed and what it costs; change nothing."
)
@click.option(
    "--cached-only", is_flag=True, help="Answer from the store or fail; never load the model."
)
@json_option
def command(
    request: Request,
    sites: tuple[str, ...],
    edits: tuple[str, ...],
    name: str | None,
    dry_run: bool,
    cached_only: bool,
    quiet: bool,
    as_json: bool,
    train_mode: bool,
    generate: int | None,
    temperature: float | None,
    seed: int | None,
) -> None:
    """Run SENTENCES through a model once and keep the activations of every layer.

    SENTENCES is a .txt file (a sentence a line), a table or records (.csv, .tsv, .jsonl, .json,
    .parquet), or - for lines on standard input. What is stored already is not computed again: the
    same command resumes, and further sites, layers and depths are added to the same run.
    """
    from actlas.scripts.extraction.request import chosen, generate_options

    if seed is not None and not train_mode and temperature is None:
        raise UsageError("--seed is of --train-mode or --temperature: give one of them too")
    options = replace(request.options, dropout_seed=(seed or 0) if train_mode else None)
    request = replace(
        request,
        options=options,
        name=name,
        generate=generate_options(generate, temperature, seed),
        only_stored=dry_run or cached_only,
    )
    request = chosen(request, sites, edits)
    _answer(request, sites, dry_run=dry_run, quiet=quiet or as_json, as_json=as_json)


def _answer(
    request: Request, sites: tuple[str, ...], *, dry_run: bool, quiet: bool, as_json: bool
) -> None:
    """Plan, carry out unless only that is wanted, and print what was done."""
    from actlas.scripts.extraction.extraction import carry_out
    from actlas.scripts.extraction.request import echo_skipped, plan_sites

    planned = plan_sites(request, sites)
    echo_skipped(planned)
    if dry_run:
        echo_json(plan_record(planned.plan)) if as_json else click.echo(plan_text(planned.plan))
        return
    if request.only_stored and planned.plan.missing:
        raise IncompleteRun(miss_text(planned.plan))
    labels = label_lines(planned.plan, done=True)  # by what is stored now
    run, stats = carry_out(request, planned.plan, quiet=quiet, engine=planned.engine)
    for note in edit_notes(run):
        click.echo(note, err=True)
    text = [_text(run, stats, planned.plan), *labels, *_advice(run)]
    echo_json(_record(run, stats, planned.plan)) if as_json else click.echo("\n".join(text))


def _text(run: Run, stats: ExtractionStats | None, plan: Plan) -> str:
    sites, kept = parts_text(plan.parts, plan.model.geometry.n_layer), kept_text(plan)
    kept = f", tokens {kept}" if kept else ""
    head = f"run {run.name} ({run.id}): {extent(run)}, sites {sites}{kept}"
    if stats is None:
        return "\n".join([head, "all stored already: nothing computed", *edit_check_lines(run)])
    seconds = ", ".join(f"{part} {value:.1f} s" for part, value in stats.seconds.items())
    cached = len(plan.units) - len(plan.missing)
    done = f"{counted(stats.units, 'unit')}, {counted(stats.tokens, 'token')}, {size(stats.nbytes)}"
    lines = [head, f"computed {done} on {stats.device}: {seconds}"]
    if cached or stats.lost_races:
        lines.append(
            f"stored before: {counted(cached, 'unit')}; committed by another process meanwhile: "
            f"{stats.lost_races:,}"
        )
    if stats.packed:
        lines.append(f"{counted(stats.packed.before, 'file')} packed: {stats.packed.after:,} now")
    return "\n".join([*lines, *edit_check_lines(run)])


def _advice(run: Run) -> list[str]:
    """Say how a run of many files opens quickly."""
    from actlas.store.runs.many_files import has_many_files

    if not has_many_files(run):
        return []
    return [f"many small files: `actlas pack {run.name}` packs them into few, which open at once"]


def _record(run: Run, stats: ExtractionStats | None, plan: Plan) -> dict[str, Any]:
    return {
        "run": run.id,
        "name": run.name,
        "sentences": run.sentences,
        "tokens": run.tokens,
        "special": special_of(run.description).to_json(),
        "sites": list(plan.options.sites),
        "numbers": {part.site: part.numbers for part in plan.parts},
        "tokens_kept": kept_record(plan),
        "units": {
            "total": len(plan.units),
            "cached": len(plan.units) - len(plan.missing),
            "computed": stats.units if stats else 0,
        },
        "labels": {
            "version": run.labels_version,
            "digest": run.labels_digest,
            "changed": label_record(plan),
        },
        "bytes_written": stats.nbytes if stats else 0,
        "seconds": stats.seconds if stats else {"load": 0.0, "forward": 0.0, "store": 0.0},
        "device": stats.device if stats else None,
        "packed": stats.packed.to_json() if stats and stats.packed else None,
        **edit_check_record(run),
    }
