"""How long the command line lets one wait: help, an answer from the store, the demo.

    python scripts/bench/access/waiting.py

Each command runs in a fresh process, as a shell starts it. Processor seconds are those of all its
processes, and change less than the others where the machine has something else to do.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from actlas.scripts.terminal.text import table

TEXTS = Path(__file__).parents[3] / "pipeline" / "texts"
ACTLAS = (sys.executable, "-m", "actlas.scripts")


@dataclass(frozen=True)
class Waited:
    """Seconds of a command: by the clock, and of the processors."""

    clock: float
    processors: float


@click.command()
@click.option("--runs", default=5, show_default=True, help="Of each command that is short.")
@click.option("--demos", default=1, show_default=True, help="Of the demo, each in a new folder.")
def main(runs: int, demos: int) -> None:
    """Measure what a user waits for."""
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
        folder = Path(scratch)
        found = {"actlas --help": [waited(folder, "--help") for _ in range(runs)]}
        found["actlas extract --help"] = [waited(folder, "extract", "--help") for _ in range(runs)]
        for jobs in ("1", None):
            rest = () if jobs is None else ("--jobs", jobs)
            name = " ".join(("actlas demo", *rest))
            found[name] = [demo(folder / f"demo-{jobs}-{at}", *rest) for at in range(demos)]
        done = folder / "demo-None-0"
        found["actlas demo, all up to date"] = [demo(done) for _ in range(runs)]
        cached = ("extract", str(TEXTS / "her.txt"), "--store", str(done / "store"))
        found["actlas extract, stored"] = [waited(folder, *cached) for _ in range(runs)]
    rows = []
    for name, times in found.items():
        clock, processors = (
            statistics.median(getattr(each, part) for each in times)
            for part in ("clock", "processors")
        )
        rows.append((name, f"{clock:.2f}", f"{processors:.2f}"))
    click.echo(table(("command", "seconds", "processor seconds"), rows))


def demo(folder: Path, *arguments: str) -> Waited:
    """Run the demo into ``folder``."""
    return waited(folder.parent, "demo", str(folder), "--quiet", *arguments)


def waited(folder: Path, *arguments: str) -> Waited:
    """Return what ``actlas`` with ``arguments`` takes."""
    before, start = _processors(), time.perf_counter()
    command = [*ACTLAS, *arguments]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return Waited(time.perf_counter() - start, _processors() - before)


def _processors() -> float:
    """Return the processor seconds of the processes that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
