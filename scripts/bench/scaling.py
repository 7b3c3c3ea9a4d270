"""What units cost apart from their tokens.

Planning, resuming, opening and searching runs of many small units.

    python scripts/bench/scaling.py --units 1000 --units 10000 --units 100000 --folder /dev/shm

Runs of random activations, a sentence of ten tokens a unit, a small geometry, float32, made without
a model: synthetic, but committed unit by unit as extraction does. Each row is the median of three
with a newly opened run, or one where it takes more than ten seconds; then the same after ``actlas
pack``. In memory, so that what a disk does is left out. Read slopes, not seconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan
from actlas.pipeline.inputs.sentences import read_sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import seconds_of
from actlas.scripts.bench.common.synthetic import WORD, labels_of, random_run
from actlas.scripts.terminal.text import table
from actlas.store import Run, Store
from actlas.store.labels.labels import Labels
from actlas.store.writing.pack import pack

GEOMETRY = Geometry(
    n_layer=2, n_head=2, d_head=8, d_model=16, d_mlp=64, positions=1024, vocabulary=50257
)
SITES = ("q", "k", "v")
TOKENS = 10
RARE = 100  # every so many sentences have the word
REPEATS = 3
LONG = 10  # seconds: what takes as long is not repeated

Row = dict[str, float]


@click.command()
@click.option(
    "--units",
    "sizes",
    type=int,
    multiple=True,
    default=(1000, 10000),
    show_default=True,
    help="Units of a run.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to make the runs.  [default: that of temporary files]",
)
def main(sizes: tuple[int, ...], folder: Path | None) -> None:
    """Measure what depends on the number of units."""
    rows: dict[int, Row] = {}
    for units in sizes:
        with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
            rows[units] = measured(units, Path(scratch))
        click.echo(f"{units} units done", err=True)
    names = list(rows[sizes[0]])
    click.echo(
        table(
            ("seconds", *(f"{units} units" for units in sizes)),
            [_row(name, rows) for name in names],
        )
    )


def _row(name: str, rows: dict[int, Row]) -> tuple[str, ...]:
    return name, *(f"{row[name]:.3f}" for row in rows.values())


def measured(units: int, scratch: Path) -> Row:
    """Return name → seconds for one run."""
    found: Row = planning(units, scratch)
    start = time.perf_counter()
    run = random_run(scratch / "store", GEOMETRY, SITES, rare_labels(units), 1)
    found["writing, all units"] = time.perf_counter() - start
    found |= reading(run.folder, "")
    start = time.perf_counter()
    pack(run)
    found["packing"] = time.perf_counter() - start
    return found | reading(run.folder, ", packed")


def planning(units: int, scratch: Path) -> Row:
    """Measure the way from a file of sentences to a plan."""
    path = scratch / "sentences.txt"
    path.write_text(
        "".join(f"Number {i} gave her a blue coat and walked home.\n" for i in range(units))
    )
    model = resolve("demo")
    sentences, tokens = read_sentences(str(path)), tokenize(read_sentences(str(path)), model)
    options = ExtractOptions(SITES, unit_tokens=1)
    store = Store.create(scratch / "planned")
    plan = make_plan(store, model, tokens, "bench", options)
    if len(plan.units) != units:
        raise click.ClickException(f"{len(plan.units)} units planned, expected {units}")
    found = {
        "reading sentences": timed(lambda: read_sentences(str(path))),
        "tokenizing": timed(lambda: tokenize(sentences, model)),
        "planning": timed(lambda: make_plan(store, model, tokens, "bench", options)),
        "labels of each unit": timed(
            lambda: [tokens.labels.sentences(unit.first, unit.sentences) for unit in plan.units]
        ),
    }
    found["beginning the run"] = timed(
        lambda: store.add(plan.specification, plan.description, plan.units), repeats=1
    )
    return found


def reading(folder: Path, suffix: str) -> Row:
    """Measure what every command does with a stored run before it computes."""
    dataset = Run(folder).dataset(SITES)
    return {
        f"resuming (missing){suffix}": timed(lambda: Run(folder).missing(SITES)),
        f"opening (dataset){suffix}": timed(lambda: Run(folder).dataset(SITES)),
        f"target search{suffix}": timed(lambda: select_tokens(dataset, Target(WORD))),
        f"every commit{suffix}": timed(lambda: list(Run(folder).commits)),
    }


def rare_labels(units: int, every: int = RARE) -> Labels:
    """Return labels of a sentence a unit, the word in each ``every``-th."""
    labels = labels_of(units, TOKENS)
    other = labels.text[0].replace(WORD, "X" * len(WORD))
    text = tuple(labels.text[0] if number % every == 0 else other for number in range(units))
    return replace(labels, text=text)


def timed(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of the seconds of ``work``."""
    return statistics.median(seconds_of(work, repeats, LONG))


if __name__ == "__main__":
    main()
