"""A trial: a command in a folder of its own meets one fault, and what it leaves is judged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actlas.scripts.bench.injection.fixture import Ground, Outcome, Victim

Order = dict[str, Any]


@dataclass
class Desk:
    """What a trial works with.

    A server of commands, one whose mounts only it sees, and places for trials.
    """

    scratch: Path
    victim: Victim
    private: Victim | None = None

    def new(self) -> Path:
        """Return a place for another trial."""
        return self.scratch / f"trial-{os.urandom(5).hex()}"

    def copy(self, ground: Ground) -> Path:
        """Return a copy of what lay there before."""
        root = self.new()
        shutil.copytree(ground.base, root)
        return root


Trial = Callable[[Desk], Outcome]


@dataclass(frozen=True)
class Extent:
    """How much is done.

    Every ``every``-th step, ``most`` trials of a fault and an operation, unless that is extraction.
    """

    every: int = 1
    most: int = 24

    def thin(self, ground: Ground, numbers: list[int], part: int = 1) -> list[int]:
        """Return as many of ``numbers`` as are wanted, evenly; ``part``.

        One of so many suffices.
        """
        most = (
            max(1, self.most // part) if ground.name != "extract" else max(1, len(numbers) // part)
        )
        step = max(1, -(-len(numbers) // most)) * self.every
        return numbers[min(step // 2, len(numbers) - 1) :: step] if numbers else []

    def steps(self, ground: Ground, *names: str, part: int = 1) -> list[int]:
        """Return numbers of steps to hurt: of all, or of those called ``names``."""
        numbers = [
            number for number, step in enumerate(ground.steps) if not names or step["name"] in names
        ]
        return self.thin(ground, numbers, part)


def hurt(order: Order, ground: Ground, desk: Desk) -> Outcome:
    """Do a trial."""
    root = desk.copy(ground)
    return ground.judge(desk.victim, root, ground.run(desk.victim, root, **order))


def trials_of(ground: Ground, orders: Iterator[Order] | list[Order]) -> list[Trial]:
    """Return a trial for each order."""
    return [partial(hurt, order, ground) for order in orders]
