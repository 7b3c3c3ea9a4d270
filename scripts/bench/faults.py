"""Faults on the way to the disk.

Every command that writes is hurt in every way we know, and what is left is counted.

``python scripts/bench/faults.py`` makes the tables of docs/reliability.md; the tests run a part of
it.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click

from actlas.scripts.bench.injection.fault_kinds import FAULTS
from actlas.scripts.bench.injection.fixture import Fixture, Outcome, make_base
from actlas.scripts.bench.injection.meeting import MEETINGS
from actlas.scripts.bench.injection.operations import OPERATIONS
from actlas.scripts.bench.injection.server import CommandServer
from actlas.scripts.bench.injection.trials import Extent, Trial, TrialSession

IN_MEMORY = Path("/dev/shm")
ALONE = "extract"  # what other commands meet is tried on it
NAMESPACE = ("unshare", "-rm")
ALL = {**FAULTS, **MEETINGS}
HEAD = ("fault", "operation", "trials", "valid", "lost", "wrong", "tracebacks", "crashes")
COUNTS = ("valid", "lost", "wrong", "tracebacks", "crashes")


@dataclass
class Row:
    """A fault of an operation: how often it was tried, what was counted, and what was amiss."""

    fault: str
    operation: str
    counts: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count a trial."""
        self.counts["trials"] += 1
        for name in COUNTS:
            self.counts[name] += getattr(outcome, name)
        where = f"{self.operation}, {self.fault}, trial {number}"
        self.complaints += [f"{where}: {said} [{outcome.kept}]" for said in outcome.complaints]

    @property
    def cells(self) -> tuple[object, ...]:
        """The row as a table has it."""
        return (self.fault, self.operation, *(self.counts[name] for name in ("trials", *COUNTS)))


def suite(
    fixtures: Iterable[Fixture], extent: Extent, faults: Sequence[str]
) -> Iterator[tuple[str, Fixture, list[Trial]]]:
    """Yield fault, fixture and trials."""
    for fixture in fixtures:
        for name in faults:
            if name in FAULTS or fixture.name == ALONE:
                yield name, fixture, ALL[name](fixture, extent)


def tried(
    work: Iterable[tuple[str, Fixture, list[Trial]]], sessions: Sequence[TrialSession]
) -> list[Row]:
    """Do all trials, as many at a time as there are sessions.

    Return a row for each fault of each operation.
    """
    waiting: queue.SimpleQueue[tuple[Row, int, Trial] | None] = queue.SimpleQueue()
    rows: list[Row] = []
    for fault, fixture, trials in work:
        rows.append(row := Row(fault, fixture.name))
        for number, trial in enumerate(trials):
            waiting.put((row, number, trial))
    report = progress(waiting.qsize())
    failures: list[BaseException] = []

    def work_through(session: TrialSession) -> None:
        while not failures and (item := waiting.get()) is not None:
            row, number, trial = item
            try:
                row.add(number, trial(session))
                report(row)
            except Exception as error:
                error.add_note(f"in {row.operation}, {row.fault}, trial {number}")
                failures.append(error)

    # a None for each thread: whoever takes one has no more work
    for _ in sessions:
        waiting.put(None)
    threads = [threading.Thread(target=work_through, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [row for row in rows if row.counts["trials"]]


def progress(total: int) -> Callable[[Row], None]:
    """Return what reports every hundredth trial, and at once of what is amiss."""
    count, start, lock, said = 0, time.perf_counter(), threading.Lock(), set[str]()

    def report_row(row: Row) -> None:
        nonlocal count
        with lock:
            count += 1
            for line in [line for line in row.complaints if line not in said]:
                said.add(line)
                click.echo(line, err=True)
            if count % 100 == 0:
                click.echo(
                    f"{count} of {total} trials, {time.perf_counter() - start:.0f} s", err=True
                )

    return report_row


def open_sessions(
    scratch: Path,
    count: int,
    hold: Callable[[CommandServer], CommandServer],
    *,
    mounts: bool = True,
) -> list[TrialSession]:
    """Return ``count`` sessions, each with its servers; ``hold`` sees to it that these end."""
    sessions = [TrialSession(scratch, hold(CommandServer(scratch))) for _ in range(count)]
    allowed = (
        mounts
        and shutil.which(NAMESPACE[0])
        and os.spawnvp(os.P_WAIT, NAMESPACE[0], [*NAMESPACE, "true"]) == 0
    )
    for session in sessions if allowed else ():
        session.private = hold(CommandServer(scratch, NAMESPACE))
    return sessions


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table for the documentation."""
    first = sum(name in ("fault", "operation", "damage") for name in head)
    lines = [head, ["---"] * first + ["---:"] * (len(head) - first), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def by(rows: Iterable[Row], part: str) -> list[list[object]]:
    """Return the sums over all rows of the same ``part``, which is fault or operation."""
    sums: dict[str, Counter[str]] = {}
    for row in rows:
        sums.setdefault(getattr(row, part), Counter()).update(row.counts)
    return [
        [name, *(counts[column] for column in ("trials", *COUNTS))] for name, counts in sums.items()
    ]


@click.command()
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Do every N-th trial only.",
)
@click.option(
    "--most",
    default=24,
    show_default=True,
    help="Trials of a fault and an operation, but for extract.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice(list(ALL)),
    help="Only these; may be repeated.",
)
@click.option(
    "--operation",
    "operations",
    multiple=True,
    type=click.Choice(list(OPERATIONS)),
    help="Only these.",
)
@click.option("--full", is_flag=True, help="Print a row for each fault of each operation.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Trials at a time.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: in memory, where the system has it]",
)
def main(
    every: int,
    most: int,
    faults: tuple[str, ...],
    operations: tuple[str, ...],
    full: bool,
    jobs: int,
    folder: Path | None,
) -> None:
    """Hurt every command that writes, in every way.

    Fail if anything is lost or wrong, or ends without a line that says why.

    Folders of trials in which something is amiss are kept and named.
    """
    start = time.perf_counter()
    # processes are put to the test, not the disk
    folder = folder or (IN_MEMORY if IN_MEMORY.is_dir() else None)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix="actlas-faults-"))
    with ExitStack() as stack:
        sessions = open_sessions(scratch, jobs, stack.enter_context)
        base = make_base(scratch, sessions[0].server)
        fixtures = [
            Fixture(name, base, scratch, sessions[0].server) for name in operations or OPERATIONS
        ]
        steps = ", ".join(f"{fixture.name} {len(fixture.steps)}" for fixture in fixtures)
        click.echo(f"steps: {steps}", err=True)
        rows = tried(suite(fixtures, Extent(every, most), faults or tuple(ALL)), sessions)
    complaints = [line for row in rows for line in row.complaints]
    if full:
        click.echo(markdown(HEAD, [row.cells for row in rows]) + "\n")
    click.echo(markdown(("fault", *HEAD[2:]), by(rows, "fault")) + "\n")
    click.echo(markdown(("operation", *HEAD[2:]), by(rows, "operation")))
    trials = sum(row.counts["trials"] for row in rows)
    click.echo(f"\n{trials} trials in {time.perf_counter() - start:.0f} s")
    if complaints:
        click.echo(
            f"{len(complaints)} complaints: see above; folders are kept in {scratch}", err=True
        )
        sys.exit(1)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
