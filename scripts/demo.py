"""``actlas demo``: the way of the data from sentences to the first study, on the shipped model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from actlas.pipeline.plan import ExtractOptions
from actlas.pipeline.sites import DEFAULT_SITES
from actlas.scripts.extraction import Request, carry_out, plan_request
from actlas.scripts.terminal import size
from actlas.store.checking import verify
from actlas.store.run import Run

SENTENCES = Path(sys.modules["actlas.pipeline"].__path__[0]) / "texts" / "her.txt"
WORD = "her"
UNIT_TOKENS = 512


@click.command("demo")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), default=Path("actlas-demo"))
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(out: Path, quiet: bool) -> None:
    """Extract 54 sentences with "her" with the shipped model, verify the store, and study the word.

    All files go to the folder OUT, actlas-demo by default. A second call answers from the store.
    """
    store, results = out / "store", out / "results"
    run = _extract(store, quiet)
    _verify(run)
    _study(run, results)
    click.echo(
        "\nWhere to look next\n"
        f"  actlas show {run.name} --store {store}\n"
        f"  actlas cosine {run.name} --store {store} --target her\n"
        f"  actlas extract YOUR.txt --model gpt2 --store {store}\n"
        f'  python: from actlas.store import Store; Store("{store}").run("{run.name}").dataset()\n'
        f"  the sentences: {SENTENCES}"
    )


def _extract(store: Path, quiet: bool) -> Run:
    options = ExtractOptions(DEFAULT_SITES, unit_tokens=UNIT_TOKENS, device="cpu")
    request = Request(str(SENTENCES), store, options)
    run, tally = carry_out(request, plan_request(request).plan, quiet=quiet)
    how = f"computed in {sum(tally.seconds.values()):.1f} s" if tally else "answered from the store"
    click.echo(f"1  extract   {run.sentences} sentences, {run.tokens} tokens, {len(run.sites)} sites: {how}")
    return run


def _verify(run: Run) -> None:
    checked = list(verify(run))
    problems = [problem for item in checked for problem in item.problems]
    for problem in problems:
        click.echo(f"   {problem}", err=True)
    if problems:
        raise click.ClickException("the store is damaged: remove it and run the demo again")
    click.echo(f"2  verify    {len(checked)} shards, {size(sum(item.nbytes for item in checked))}: every checksum holds")


def _study(run: Run, results: Path) -> None:
    from actlas.analysis.tokens import Target
    from actlas.scripts.variance import variance_study, variance_table

    result, output, summary = variance_study(run, Target(WORD), results)
    click.echo(f"3  variance  {summary}\n\n{variance_table(result)}\n")
    click.echo(f'The target starts alike in every sentence and grows apart: context enters "{WORD}", block by block.\n')
    click.echo(output)
