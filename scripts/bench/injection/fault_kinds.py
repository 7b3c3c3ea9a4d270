"""The faults that any command may meet.

Each is a list of orders, a trial each, for one operation.
"""

from __future__ import annotations

import errno
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial

from actlas.scripts.bench.injection.fixture import Fixture, Outcome
from actlas.scripts.bench.injection.harm import WRITES
from actlas.scripts.bench.injection.power import SURVIVAL, after_power_loss, recorded
from actlas.scripts.bench.injection.trials import Extent, Order, Trial, TrialSession, trials_of

SEED = 0
FLUSHES = ("fdatasync", "fsync")
FILLING = (
    "mkdir",
    "open",
    "create",
    "file write",
    "posix_fallocate",
    "pwritev",
    "write",
    "link",
    "symlink",
    *FLUSHES,
)
# with 7 torch cannot ask what processor it has, and rounds otherwise
FEW_DESCRIPTORS = (4, 5, 6, 8, 10, 12, 14, 16, 24, 32)
# bytes; what is said must fit as well
FILE_SIZES = (2000, 4096, 10_000, 20_000, 50_000, 100_000, 200_000, 400_000)
# bytes left on a small file system
ROOM = (0, 8 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20)
# bytes beyond what it has; with none the C library aborts
MEMORY = (1 << 20, 4 << 20, 12 << 20, 32 << 20, 64 << 20)


def killed(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Kill -9 before a step."""
    return trials_of(
        fixture, [{"harm": {"kind": "kill", "at": at}} for at in extent.steps(fixture)]
    )


def torn(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Kill -9 when half of a write is done."""
    return trials_of(
        fixture, [{"harm": {"kind": "tear", "at": at}} for at in extent.steps(fixture, *WRITES)]
    )


def failing(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A step fails with EIO; every sync does in its turn, counted by itself.

    Two threads make them.
    """
    steps = [
        {"harm": {"kind": "error", "at": at, "code": errno.EIO}} for at in extent.steps(fixture)
    ]
    # which thread syncs first differs from run to run, so number n alone is not one file's sync
    syncs = sum(step["name"] == "fdatasync" for step in fixture.steps)
    counted = extent.thin(fixture, list(range(syncs)))
    alone = [
        {"harm": {"kind": "error", "at": at, "code": errno.EIO, "only": ["fdatasync"]}}
        for at in counted
    ]
    return trials_of(fixture, steps + alone)


def unreadable(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A call that reads fails with EIO."""
    numbers = extent.thin(fixture, list(range(fixture.reads)), part=2)
    return trials_of(
        fixture,
        [{"harm": {"kind": "error", "at": at, "code": errno.EIO, "reads": True}} for at in numbers],
    )


def full(fixture: Fixture, extent: Extent) -> list[Trial]:
    """From a step on, calls of its kind fail with ENOSPC."""
    numbers = extent.steps(fixture, *FILLING, part=2)
    return trials_of(
        fixture, [{"harm": {"kind": "errors", "at": at, "code": errno.ENOSPC}} for at in numbers]
    )


def short(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Every write takes half of what it is given."""
    return trials_of(fixture, [{"harm": {"kind": "short"}}])


def small_files(fixture: Fixture, extent: Extent) -> list[Trial]:
    """RLIMIT_FSIZE."""
    sizes = FILE_SIZES[:: min(3, extent.every)]
    return trials_of(fixture, [{"harm": {}, "limits": {"RLIMIT_FSIZE": size}} for size in sizes])


def few_descriptors(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Ulimit -n."""
    counts = FEW_DESCRIPTORS[:: min(3, extent.every)]
    return trials_of(
        fixture, [{"harm": {}, "limits": {"RLIMIT_NOFILE": count}} for count in counts]
    )


def interrupted(fixture: Fixture, extent: Extent) -> list[Trial]:
    """SIGINT or SIGTERM at a step."""
    return trials_of(fixture, list(_signals(extent.steps(fixture, part=4), 0)))


def interrupted_twice(fixture: Fixture, extent: Extent) -> list[Trial]:
    """SIGINT or SIGTERM, and again two steps later."""
    return trials_of(fixture, list(_signals(extent.steps(fixture, part=8), 2)))


def _signals(numbers: list[int], again: int) -> Iterator[Order]:
    for number in numbers:
        for code in (signal.SIGINT, signal.SIGTERM):
            yield {"harm": {"kind": "signal", "at": number, "code": code, "again": again}}


def unallocated(fixture: Fixture, extent: Extent) -> list[Trial]:
    """NumPy's n-th large allocation fails."""
    numbers = extent.thin(
        fixture, list(range(fixture.allocations)), part=2 if fixture.name != "extract" else 1
    )
    return trials_of(fixture, [{"allocation": number} for number in numbers])


def little_memory(fixture: Fixture, extent: Extent) -> list[Trial]:
    """RLIMIT_AS: the process gets no more than a little beyond what it has."""
    return trials_of(fixture, [{"memory": more} for more in MEMORY[:: min(3, extent.every)]])


def small_disk(fixture: Fixture, extent: Extent) -> list[Trial]:
    """A file system of its own with little room; none where mounting is not allowed."""
    return [partial(_on_small_disk, fixture, room) for room in ROOM[:: min(3, extent.every)]]


def _on_small_disk(fixture: Fixture, room: int, session: TrialSession) -> Outcome:
    if session.private is None:
        return Outcome(0)
    root = session.new()
    # each file takes whole pages of a tmpfs, and its name another
    taken = sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in fixture.base.rglob("*"))
    session.private.start(mount=True, root=str(root), base=str(fixture.base), bytes=taken + room)
    session.private.wait()
    answer = fixture.run(session.private, root)
    enough = {"bytes": 64 << 20, "remount": True}
    # somebody made room
    session.private.start(mount=True, root=str(root), base=str(fixture.base), **enough)
    session.private.wait()
    return fixture.judge(session.private, root, answer)


def power_loss(fixture: Fixture, extent: Extent) -> list[Trial]:
    """What is found when power fails after a step and only what was synced is sure.

    The rest in part or not at all.
    """
    if not recorded(fixture.steps):
        return []  # written by a library in C, beside the calls that are wrapped
    numbers = sorted(
        {*extent.steps(fixture, part=5 if fixture.name == "extract" else 4), len(fixture.steps) - 1}
    )
    return [
        partial(_after_power_loss, fixture, number, survival)
        for number in numbers
        for survival in SURVIVAL
    ]


def _after_power_loss(
    fixture: Fixture, number: int, survival: str, session: TrialSession
) -> Outcome:
    root = session.copy(fixture)
    after_power_loss(fixture.steps[: number + 1], survival, number, root)
    finished = number == len(fixture.steps) - 1  # the command has said that it is done
    return fixture.judge(session.server, root, None, fixture.after if finished else None)


def killed_at_random(fixture: Fixture, extent: Extent) -> list[Trial]:
    """Kill -9 at random instants, of one folder again and again until the command is through."""
    generator = random.Random(SEED)
    count = max(2, (60 if fixture.name == "extract" else 4) // extent.every)
    # three kills in a row: the second and third meet what the first left
    moments = [[generator.uniform(0, fixture.seconds) for _ in range(3)] for _ in range(count)]
    return [partial(_killed_again_and_again, fixture, each) for each in moments]


def _killed_again_and_again(
    fixture: Fixture, moments: list[float], session: TrialSession
) -> Outcome:
    root = session.copy(fixture)
    for moment in moments:
        answer = fixture.run(session.server, root, kill_after=moment)
    return fixture.judge(session.server, root, answer)


FAULTS: dict[str, Callable[[Fixture, Extent], list[Trial]]] = {
    "kill -9 before each step": killed,
    "kill -9 in the middle of each write": torn,
    "kill -9 at random instants": killed_at_random,
    "every call fails (EIO)": failing,
    "every reading call fails (EIO)": unreadable,
    "disk full from a step on (ENOSPC)": full,
    "file size limit (RLIMIT_FSIZE)": small_files,
    "small tmpfs": small_disk,
    "every write takes half": short,
    "SIGINT, SIGTERM": interrupted,
    "SIGINT, SIGTERM twice": interrupted_twice,
    "few file descriptors (ulimit -n)": few_descriptors,
    "an allocation fails (MemoryError)": unallocated,
    "little memory (RLIMIT_AS)": little_memory,
    "power loss": power_loss,
}
