"""Relabelling of stored runs of different sizes: the time of a whole ``actlas relabel``.

    python scripts/bench/store/relabel.py

The run has GPT-2 XL's geometry and one number a token: relabelling looks at no activation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.bench.common.synthetic import labels_of, random_run
from actlas.scripts.bench.store.verify import XL
from actlas.scripts.terminal.text import table

KINDS = ("animal", "plant", "stone")
UNITS = 100


@click.command()
@click.option(
    "--sentences",
    "counts",
    multiple=True,
    default=(54, 10_000),
    show_default=True,
    help="May be repeated.",
)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option("--runs", default=5, show_default=True, help="Counted runs, after one that is not.")
def main(counts: tuple[int, ...], tokens: int, runs: int) -> None:
    """Measure `actlas relabel` in a process of its own, interpreter and imports included."""
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
            rows.append(_measured(Path(scratch), count, tokens, runs))
    click.echo(table(HEADER, rows))


def _measured(folder: Path, count: int, tokens: int, runs: int) -> Sequence[object]:
    labels = labels_of(count, tokens)
    run = random_run(folder / "store", Geometry(**XL), ("nll",), labels, max(1, count // UNITS))
    random, measured = np.random.default_rng(0), Measured()
    for number in range(runs + 1):
        kinds = random.choice(KINDS, count)
        lines = [
            f"{text},{kind},{place}"
            for place, (text, kind) in enumerate(zip(labels.text, kinds, strict=True))
        ]
        (folder / "rows.csv").write_text("\n".join(["text,kind,place", *lines]), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "actlas.scripts",
            "relabel",
            run.id,
            "rows.csv",
            "--store",
            "store",
        ]
        measured.add(
            partial(subprocess.run, command, cwd=folder, check=True, capture_output=True),
            counted=number > 0,
        )
    run.refresh()
    assert run.labels_version == runs + 2
    return measured.row(f"{count:,} sentences")


if __name__ == "__main__":
    main()
