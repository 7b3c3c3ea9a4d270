"""What happens to an extraction alone.

Others at work in the same store, and a store that was moved, locked or set back.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import partial

from actlas.scripts.bench.injection.fault_kinds import SEED
from actlas.scripts.bench.injection.fixture import Fixture, Outcome, ending
from actlas.scripts.bench.injection.operations import SITES, extraction
from actlas.scripts.bench.injection.server import CommandServer
from actlas.scripts.bench.injection.state import run_here
from actlas.scripts.bench.injection.trials import Extent, Trial, TrialSession
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, DamagedStore

DAY = 86_400.0


def read_only(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A store without permission to write, half full: refused in a line, and read as before."""
    return [partial(_read_only, fixture)]


def _read_only(fixture: Fixture, session: TrialSession) -> Outcome:
    root = session.copy(fixture)
    fixture.run(session.server, root, harm={"kind": "kill", "at": len(fixture.steps) * 2 // 3})
    folders = [path for path in (root / "store", *(root / "store").rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    held = session.server.look(root)
    answer = fixture.run(session.server, root, powerless=True)
    verified = session.server.run(root, ("verify", "--store", "{root}/store"), powerless=True)
    for folder in folders:
        folder.chmod(0o755)
    refused = [] if answer.status == 1 else [f"in a read-only store: {ending(answer)}"]
    refused += [f"verify of a read-only store: {ending(verified)}"] if verified.status else []
    return added(fixture.judge(session.server, root, answer, held), refused)


def moved(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A half-filled store is moved to another folder and finished there."""
    return [partial(_moved, fixture, number) for number in extent.steps(fixture, "link")]


def _moved(fixture: Fixture, number: int, session: TrialSession) -> Outcome:
    root, other = session.copy(fixture), session.new()
    fixture.run(session.server, root, harm={"kind": "kill", "at": number})
    held = session.server.look(root)
    root.rename(other)
    return fixture.judge(session.server, other, None, held)


def wrong_clock(fixture: Fixture, extent: Extent) -> list[Trial]:
    """All files of a killed extraction a day old, or a day in the future."""
    numbers = extent.steps(fixture, "link", part=2)
    return [
        partial(_wrong_clock, fixture, number, shift) for number in numbers for shift in (-DAY, DAY)
    ]


def _wrong_clock(fixture: Fixture, number: int, shift: float, session: TrialSession) -> Outcome:
    root = session.copy(fixture)
    fixture.run(session.server, root, harm={"kind": "kill", "at": number})
    held = session.server.look(root)
    for path in (root / "store").rglob("*"):
        os.utime(path, times=(time.time() + shift,) * 2)
    return fixture.judge(session.server, root, None, held)


def two_extractors(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Two extractions start together, of the same sites or of fewer; one of them may be killed."""
    count = max(4, 16 // extent.every)
    return [partial(_two_extractors, fixture, number) for number in range(count)]


def _two_extractors(fixture: Fixture, number: int, session: TrialSession) -> Outcome:
    root, generator = session.copy(fixture), random.Random(SEED + number)
    words = extraction("new.txt", "new", SITES[0]) if number % 2 else fixture.operation.words
    killed = {"kill_after": generator.uniform(0, fixture.seconds)} if number % 4 > 1 else {}
    with CommandServer(session.scratch) as second:
        second.start(root=str(root), command=[word.format(root=root) for word in words], **killed)
        first = fixture.run(session.server, root)
        other = second.wait()
    failed = [
        answer for answer in (first, other) if answer.status and not (killed and answer is other)
    ]
    return added(
        fixture.judge(session.server, root, None),
        [f"one of two extractors failed: {ending(each)}" for each in failed],
    )


def read_while_written(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A reader opens, verifies and reads what is committed.

    All the time that an extraction runs.
    """
    return [partial(_read_while_written, fixture) for _ in range(max(2, 10 // extent.every))]


def _read_while_written(fixture: Fixture, session: TrialSession) -> Outcome:
    root, complaints, end = session.copy(fixture), list[str](), time.monotonic() + 60
    session.server.start(
        root=str(root), command=[word.format(root=root) for word in fixture.operation.words]
    )
    while time.monotonic() < end:
        status, _, errors = run_here("verify", "--store", str(root / "store"))
        complaints += [f"verify while it was written: {errors.strip()[:300]}"] if status else []
        try:
            run = Store(root / "store").run("new")
            if not run.missing(SITES):
                run.dataset(check=True).compute()
                break
        except DamagedStore as error:
            complaints.append(f"read while it was written: {error}")
        except ActlasError:  # no such run yet
            continue
    answer = session.server.wait()
    return added(fixture.judge(session.server, root, answer), complaints)


def added(outcome: Outcome, complaints: list[str]) -> Outcome:
    """Return the outcome with further complaints, each wrong."""
    if not complaints:
        return outcome
    counts = (
        outcome.valid,
        outcome.lost,
        outcome.wrong + len(complaints),
        outcome.tracebacks,
        outcome.crashes,
    )
    return Outcome(*counts, (*outcome.complaints, *complaints), outcome.kept)


MEETINGS: dict[str, Callable[[Fixture, Extent], list[Trial]]] = {
    "read-only store": read_only,
    "store moved": moved,
    "clock a day off": wrong_clock,
    "two extractors on one run": two_extractors,
    "reader during the writing": read_while_written,
}
