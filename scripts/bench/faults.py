"""Faults on the way to the store: a real extraction is hurt in every way we know, and what was committed is counted.

``python scripts/bench/faults.py`` makes the table of docs/reliability.md; the tests run a part of it.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from actlas.scripts.bench.ground import SITES, Ground, Outcome, Victim, complaint
from actlas.scripts.bench.power import SURVIVAL, after_power_loss, committed
from actlas.scripts.terminal import table
from actlas.store.catalog import Store
from actlas.store.checking import verify
from actlas.store.errors import ActlasError, DamagedStore

SEED = 0
RANDOM_INSTANTS = 200
WRITES = ("pwritev", "write")
FEW_DESCRIPTORS = (4, 5, 6, 8, 10, 12, 14, 16, 24, 32)  # with 7 torch cannot ask what processor it has, and rounds otherwise
LEAST_FSIZE = 2000  # bytes; what is said must fit as well
TMPFS_KB = (40, 100, 300, 400, 500, 700)
DAY = 86_400.0
IN_MEMORY = Path("/dev/shm")

Trials = Iterator[Outcome]


@dataclass(frozen=True)
class Extent:
    """How much of the suite is run: every ``every``-th step, ``instants`` random moments."""

    every: int = 1
    instants: int = RANDOM_INSTANTS

    def steps(self, ground: Ground, *names: str, thin: int = 1) -> list[int]:
        """Return the numbers of the steps to hurt: all, or those called ``names``; of them every ``thin``-th is enough."""
        numbers = [number for number, step in enumerate(ground.steps) if not names or step["name"] in names]
        return numbers[:: self.every * thin]


def killed_at_each_step(ground: Ground, extent: Extent) -> Trials:
    """Kill -9 before a step."""
    for number in extent.steps(ground):
        yield _hurt(ground, kind="kill", at=number)


def killed_in_each_write(ground: Ground, extent: Extent) -> Trials:
    """Kill -9 when half of a write is done."""
    for number in extent.steps(ground, *WRITES):
        yield _hurt(ground, kind="tear", at=number)


def killed_at_random(ground: Ground, extent: Extent) -> Trials:
    """Kill -9 at random instants, of one store again and again until it is complete, then of a new one."""
    generator, store, least = random.Random(SEED), ground.new(), frozenset[str]()
    for _ in range(extent.instants):
        answer = ground.run(store, kill_after=generator.uniform(0, ground.seconds))
        found, problems = ground.look(store)
        whole = sum(found[name] != ground.whole[name] for name in found)
        yield Outcome(len(found), len(least - found.keys()), whole + len(problems), (*problems, *complaint(answer)))
        least = frozenset(found)
        if found.keys() == ground.whole.keys():
            shutil.rmtree(store)
            store, least = ground.new(), frozenset()
    yield ground.outcome(store)


def failing_calls(ground: Ground, extent: Extent) -> Trials:
    """Every second call fails, each in an extraction of its own, with EIO."""
    for number in extent.steps(ground, thin=2):
        yield _hurt(ground, kind="error", at=number, code=errno.EIO)


def full_disk(ground: Ground, extent: Extent) -> Trials:
    """From a step on, calls of its kind fail with ENOSPC."""
    for number in extent.steps(
        ground, "mkdir", "open", "create", "write", "posix_fallocate", "pwritev", "link", "fsync", thin=3
    ):
        yield _hurt(ground, kind="errors", at=number, code=errno.ENOSPC)


def file_size_limit(ground: Ground, extent: Extent) -> Trials:
    """RLIMIT_FSIZE, from nothing to a little more than a shard."""
    largest = max(step["size"] for step in ground.steps if step["name"] == "posix_fallocate")
    for part in range(0, 11, min(5, extent.every)):
        store = ground.new()
        answer = ground.run(store, limits={"RLIMIT_FSIZE": largest * part // 9 or LEAST_FSIZE})
        yield _finished(store, ground.outcome(store, answer))


def small_tmpfs(ground: Ground, extent: Extent) -> Trials:
    """A file system of its own that is too small; skipped where mounting is not allowed."""
    sizes = TMPFS_KB[:: min(3, extent.every)]
    places = {kilobytes: ground.new() for kilobytes in sizes}
    for place in places.values():
        place.mkdir()
    mounts = [f"mount -t tmpfs -o size={kilobytes}k none {place}" for kilobytes, place in places.items()]
    prefix = ("unshare", "-rm", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        return
    with Victim(ground.scratch, prefix) as victim:  # what it mounts only its commands see
        for place in places.values():
            store = place / "store"
            victim.start(store, ground.extraction(store))
            answer = victim.wait()
            victim.start(store, ["verify", "--store", str(store)])
            verified = victim.wait()
            sound = verified.status == 0 or "is not there" in verified.errors
            found = int(verified.output.split(":")[1].split()[0]) if verified.output.startswith("it:") else 0
            yield Outcome(found, 0, int(not sound), tuple(complaint(answer) if sound else [verified.errors]))


def short_writes(ground: Ground, extent: Extent) -> Trials:
    """Every write takes half of what it is given."""
    store = ground.new()
    yield _finished(store, ground.outcome(store, ground.run(store, harm={"kind": "short"})))


def interrupted(ground: Ground, extent: Extent) -> Trials:
    """SIGINT or SIGTERM at a step."""
    for number in extent.steps(ground, thin=10):
        for code in (signal.SIGINT, signal.SIGTERM):
            yield _hurt(ground, kind="signal", at=number, code=code)


def interrupted_twice(ground: Ground, extent: Extent) -> Trials:
    """SIGINT or SIGTERM, and again two steps later."""
    for number in extent.steps(ground, thin=10):
        for code in (signal.SIGINT, signal.SIGTERM):
            yield _hurt(ground, kind="signal", at=number, code=code, again=2)


def few_descriptors(ground: Ground, extent: Extent) -> Trials:
    """Ulimit -n."""
    for count in FEW_DESCRIPTORS[:: min(3, extent.every)]:
        store = ground.new()
        yield _finished(store, ground.outcome(store, ground.run(store, limits={"RLIMIT_NOFILE": count})))


def read_only(ground: Ground, extent: Extent) -> Trials:
    """A store without permission to write, half full: refused in a line, and read as before."""
    store = ground.new()
    ground.run(store, harm={"kind": "kill", "at": len(ground.steps) * 2 // 3})
    folders = [path for path in (store, *store.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    held = frozenset(ground.look(store)[0])
    answer = ground.run(store, powerless=True)
    ground.victim.start(store, ["verify", "--store", str(store)], powerless=True)
    verified = ground.victim.wait()
    for folder in folders:
        folder.chmod(0o755)
    refused = [] if answer.status == 1 else [f"extracting into a read-only store ended with {answer.status}"]
    found = ground.outcome(store, answer, held)
    yield Outcome(found.committed, found.lost, found.wrong + verified.status, (*found.complaints, *refused))


def moved(ground: Ground, extent: Extent) -> Trials:
    """A half-filled store is moved to another folder and finished there."""
    for number in extent.steps(ground, "link"):
        store, other = ground.new(), ground.new()
        ground.run(store, harm={"kind": "kill", "at": number})
        held = frozenset(ground.look(store)[0])
        store.rename(other)
        yield ground.outcome(other, least=held)


def wrong_clock(ground: Ground, extent: Extent) -> Trials:
    """All files of a killed extraction a day old, or a day in the future."""
    for number in extent.steps(ground, "link", thin=2):
        for shift in (-DAY, DAY):
            store = ground.new()
            ground.run(store, harm={"kind": "kill", "at": number})
            held = frozenset(ground.look(store)[0])
            for path in store.rglob("*"):
                os.utime(path, times=(time.time() + shift,) * 2)
            yield _finished(store, ground.outcome(store, least=held))


def two_extractors(ground: Ground, extent: Extent) -> Trials:
    """Two extractions start together, of the same sites or of different ones; one of them may be killed."""
    generator = random.Random(SEED)
    with Victim(ground.scratch) as second:
        for number in range(max(4, 16 // extent.every)):
            store = ground.new()
            options = ["--site", SITES[0]] if number % 2 else []
            killed = {"kill_after": generator.uniform(0, ground.seconds)} if number % 4 > 1 else {}
            second.start(store, ground.extraction(store, *options), **killed)
            first = ground.run(store)
            other = second.wait()
            failed = [answer for answer in (first, other) if answer.status and not (killed and answer is other)]
            complaints = tuple(f"one of two extractors failed: {answer.errors.strip()}" for answer in failed)
            yield _two_sites(ground, store, complaints) if options else _with(ground.outcome(store, first), complaints)


def read_while_written(ground: Ground, extent: Extent) -> Trials:
    """A reader opens, refreshes and checks what is committed, all the time that an extraction runs."""
    for _ in range(max(2, 10 // extent.every)):
        store, looks, problems, most = ground.new(), 0, list[str](), 0
        ground.victim.start(store, ground.extraction(store))
        while most < len(ground.whole):
            try:
                run = Store(store).run("it")
                found = list(verify(run))
                most = max(most, len(found))
                problems += [problem for item in found for problem in item.problems]
                run.dataset(check=True).compute() if not run.missing(SITES) else None
                looks += 1
            except DamagedStore as error:
                problems.append(str(error))
            except ActlasError:  # no store yet, or no such run
                continue
        answer = ground.victim.wait()
        yield _with(ground.outcome(store, answer), tuple(problems))


def power_loss(ground: Ground, extent: Extent) -> Trials:
    """The store as it is when power fails after a step and only what was synced is sure, the rest in part or not at all."""
    for number in extent.steps(ground, thin=5):
        steps = ground.steps[: number + 1]
        for survival in SURVIVAL:
            store = ground.new()
            after_power_loss(steps, survival, number, store)
            yield _finished(store, ground.outcome(store, least=frozenset(committed(steps))))


FAULTS: dict[str, Callable[[Ground, Extent], Trials]] = {
    "kill -9 before each step": killed_at_each_step,
    "kill -9 in the middle of each write": killed_in_each_write,
    "kill -9 at random instants": killed_at_random,
    "every second call fails (EIO)": failing_calls,
    "disk full from a step on (ENOSPC)": full_disk,
    "file size limit (RLIMIT_FSIZE)": file_size_limit,
    "small tmpfs": small_tmpfs,
    "every write takes half": short_writes,
    "SIGINT, SIGTERM": interrupted,
    "SIGINT, SIGTERM twice": interrupted_twice,
    "few file descriptors (ulimit -n)": few_descriptors,
    "read-only store": read_only,
    "store moved": moved,
    "clock a day off": wrong_clock,
    "two extractors on one run": two_extractors,
    "reader during the writing": read_while_written,
    "power loss": power_loss,
}


def _hurt(ground: Ground, **harm: object) -> Outcome:
    store = ground.new()
    answer = ground.run(store, harm=harm)
    return _finished(store, ground.outcome(store, answer))


def _finished(store: Path, outcome: Outcome) -> Outcome:
    if not outcome.complaints:  # else it is kept, to be looked at
        shutil.rmtree(store, ignore_errors=True)
    return outcome


def _with(outcome: Outcome, complaints: tuple[str, ...]) -> Outcome:
    return Outcome(outcome.committed, outcome.lost, outcome.wrong, (*outcome.complaints, *complaints))


def _two_sites(ground: Ground, store: Path, complaints: tuple[str, ...]) -> Outcome:
    """Look at a run whose one site was extracted by itself as well: all is there and verifies, whoever was first."""
    again = ground.run(store)
    problems = [problem for run in Store(store).runs() for item in verify(run) for problem in item.problems]
    run = Store(store).run("it")
    whole = Store(ground.path).run("it")
    lost = len(run.missing(SITES))
    equal = not lost and run.dataset(SITES, check=True).identical(whole.dataset(SITES, check=True))
    return Outcome(len(run.units), lost, len(problems) + (not equal), (*complaints, *complaint(again), *problems))


def suite(ground: Ground, extent: Extent, names: list[str]) -> Iterator[tuple[tuple[object, ...], list[str]]]:
    """Yield, per fault, a row of the table and the complaints."""
    for name in names:
        start, outcomes = time.perf_counter(), list(FAULTS[name](ground, extent))
        row = (
            name,
            len(outcomes),
            sum(outcome.committed for outcome in outcomes),
            sum(outcome.lost for outcome in outcomes),
            sum(outcome.wrong for outcome in outcomes),
            f"{time.perf_counter() - start:.0f}",
        )
        yield row, [complaint for outcome in outcomes for complaint in outcome.complaints]


@click.command()
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Hurt every N-th step only.")
@click.option("--instants", default=RANDOM_INSTANTS, show_default=True, help="Random moments of kill -9.")
@click.option("--fault", "faults", multiple=True, type=click.Choice(list(FAULTS)), help="Only these; may be repeated.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to write.  [default: in memory, where the system has it]"
)
def main(every: int, instants: int, faults: tuple[str, ...], folder: Path | None) -> None:
    """Hurt extractions of the demo model in every way; print fault, trials, units committed, lost, wrong; fail if any is."""
    rows, complaints, start = [], list[str](), time.perf_counter()
    folder = folder or (IN_MEMORY if IN_MEMORY.is_dir() else None)  # processes are put to the test, not the disk
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-faults-") as scratch, Victim(Path(scratch)) as victim:
        ground = Ground(Path(scratch), victim)
        click.echo(f"{len(ground.steps)} steps, {len(ground.whole)} units, {ground.seconds:.2f} s unhurt", err=True)
        for row, said in suite(ground, Extent(every, instants), list(faults or FAULTS)):
            click.echo(f"{row[0]}: {row[1]} trials in {row[-1]} s", err=True)
            for line in dict.fromkeys(said):
                click.echo(f"  {line}", err=True)
            rows.append(row)
            complaints += said
    click.echo(table(("fault", "trials", "units committed", "lost", "wrong", "s"), rows))
    click.echo(f"\n{time.perf_counter() - start:.0f} s in all")
    if complaints or any(row[3] or row[4] for row in rows):
        raise click.ClickException(f"{len(complaints)} complaints: see above")


if __name__ == "__main__":
    main()
