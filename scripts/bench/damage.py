"""Damaged files: every sort of file is damaged at random, everybody reads it.

What differs in silence is counted.

``python scripts/bench/damage.py`` makes the table of docs/reliability.md. A number that differs
from the undamaged one without an error or a warning is the one thing that must never be.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from actlas.scripts.bench.faults import IN_MEMORY, markdown
from actlas.scripts.bench.injection.damage_trials import Trial, all_tried, in_child
from actlas.scripts.bench.injection.damages import SITES_OF_DAMAGE
from actlas.scripts.bench.injection.operations import (
    BASE,
    STORE,
    STUDIED,
    STUDY,
    extraction,
    inputs,
)
from actlas.scripts.bench.injection.process import imported
from actlas.scripts.bench.injection.state import run_here

HEAD = (
    "damage",
    "trials",
    "said in a line",
    "harmless",
    "read silently",
    "collected",
    "tracebacks",
    "crashes",
)
EXPORTS = (
    ("export", "it", "{root}/it.h5", *STORE),
    ("export", "packed", "{root}/more.h5", *STORE, "--site", "resid"),
)


def make_base(root: Path) -> None:
    """Make a store, results, studies and exports."""
    root.mkdir()
    inputs(root)
    two = 'target = "her"\n\n[analyses.the]\nrun = "it"\nstage = "variance"\ntarget = "the"'
    (root / "study.toml").write_text(
        STUDY.format(first="her", options=f'stage = "variance"\n{two}')
    )
    (root / "other.toml").write_text(STUDY.format(first="variance", options='target = "rain"'))
    other = ("study", "run", "{root}/other.toml", "--out", "{root}/other", "--quiet")
    packed = (extraction("new.txt", "packed", "resid", "nll"), ("pack", "packed", *STORE))
    for words in (*BASE, *packed, STUDIED, other, *EXPORTS):
        status, _, errors = run_here(*(word.format(root=root) for word in words))
        if status:
            raise RuntimeError(f"{' '.join(words)}: {errors}")


@click.command()
@click.option(
    "--trials", "count", default=300, show_default=True, help="Damages of each sort of file."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(list(SITES_OF_DAMAGE)), help="Only these."
)
@click.option("--number", "numbers", multiple=True, type=int, help="Only trials of these numbers.")
@click.option("--seed", default=0, show_default=True, help="Seed of all damages.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Trials at a time.")
def main(
    count: int, kinds: tuple[str, ...], numbers: tuple[int, ...], seed: int, jobs: int
) -> None:
    """Damage files at random.

    Fail if a number was read silently, something intact was collected, or anything crashed.
    """
    start = time.perf_counter()
    os.environ.update({"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"})
    scratch = Path(
        tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None, prefix="actlas-damage-")
    )
    os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
    imported()
    base = scratch / "base"
    # in a child: this process goes on to fork, and so may not have started threads
    _, status = os.waitpid(in_child(lambda: make_base(base), scratch / "made"), 0)
    if status:
        raise click.ClickException(Path(f"{scratch / 'made'}.err").read_text())
    trials = [
        Trial(kind, seed, n) for kind in kinds or SITES_OF_DAMAGE for n in numbers or range(count)
    ]
    rows: dict[str, Counter[str]] = {trial.kind: Counter() for trial in trials}
    for trial, found in all_tried(trials, base, scratch, jobs):
        counted(rows[trial.kind], trial, found)
    table = [[kind, *(row[name] for name in HEAD[1:])] for kind, row in rows.items()]
    click.echo(markdown(HEAD, table))
    click.echo(f"\n{len(trials)} damages, seed {seed}, in {time.perf_counter() - start:.0f} s")
    if any(row[name] for row in rows.values() for name in HEAD[4:]):
        click.echo(
            f"again: --seed {seed} --kind KIND --number N; folders are kept in {scratch}", err=True
        )
        sys.exit(1)
    shutil.rmtree(scratch)


def counted(row: Counter[str], trial: Trial, found: dict[str, Any]) -> None:
    """Count a trial, and report what was amiss."""
    amiss = {name: lines for name, lines in found["amiss"].items() if lines}
    row["trials"] += 1
    row["said in a line" if found["said"] else "harmless"] += not amiss
    row.update(amiss.keys())
    for name, lines in amiss.items():
        for line in lines:
            click.echo(
                f"{trial.draw} ({found['damage']}): {name}: {line} [{found['folder']}]", err=True
            )


if __name__ == "__main__":
    main()
