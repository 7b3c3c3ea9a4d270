"""A trial: a command in a folder of its own meets one fault, and what it leaves is judged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actlas.scripts.bench.injection.fixture import Fixture, Outcome
from actlas.scripts.bench.injection.server import CommandServer

Order = dict[str, Any]


@dataclass
class TrialSession:
    """What a trial works with.

    A server of commands, one whose mounts only it sees, and places for trials.
    """

    scratch: Path
    server: CommandServer
    private: CommandServer | None = None

    def new(self) -> Path:
        """Return a place for another trial."""
        return self.scratch / f"trial-{os.urandom(5).hex()}"

    def copy(self, fixture: Fixture) -> Path:
        """Return a copy of what lay there before."""
        root = self.new()
        shutil.copytree(fixture.base, root)
        return root


Trial = Callable[[TrialSession], Outcome]


@dataclass(frozen=True)
class Extent:
    """How much is done.

    Every ``every``-th step, ``most`` trials of a fault and an operation, unless that is extraction.
    """

    every: int = 1
    most: int = 24

    def thin(self, fixture: Fixture, numbers: list[int], part: int = 1) -> list[int]:
        """Return as many of ``numbers`` as are wanted, evenly; ``part``.

        One of so many suffices.
        """
        most = (
            max(1, self.most // part) if fixture.name != "extract" else max(1, len(numbers) // part)
        )
        # -(-a // b) is a / b rounded up; the first of each stretch would always be the same step
        step = max(1, -(-len(numbers) // most)) * self.every
        return numbers[min(step // 2, len(numbers) - 1) :: step] if numbers else []

    def steps(self, fixture: Fixture, *names: str, part: int = 1) -> list[int]:
        """Return numbers of steps to hurt: of all, or of those called ``names``."""
        numbers = [
            number
            for number, step in enumerate(fixture.steps)
            if not names or step["name"] in names
        ]
        return self.thin(fixture, numbers, part)


def hurt(order: Order, fixture: Fixture, session: TrialSession) -> Outcome:
    """Do a trial."""
    root = session.copy(fixture)
    return fixture.judge(session.server, root, fixture.run(session.server, root, **order))


def trials_of(fixture: Fixture, orders: Iterator[Order] | list[Order]) -> list[Trial]:
    """Return a trial for each order."""
    return [partial(hurt, order, fixture) for order in orders]
