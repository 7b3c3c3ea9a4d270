"""Parts of sites: layers or depths that are stored, wanted or missing together, of which tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

WHOLE = ""  # the selection of all tokens


class SitePart(NamedTuple):
    """Some layers or depths of a site."""

    site: str
    numbers: tuple[int, ...]  # ascending; 0 alone of a site that has neither
    kept: str = WHOLE  # digest of the tokens whose rows are kept; of all where empty


Parts = frozenset[SitePart]


@dataclass(frozen=True)
class Kept:
    """Which tokens of a run have rows in a file, where not all have.

    digest: of their indices along the run's ``token``, 16 hex digits. tokens: how they were asked
    for, ``last`` or conditions, any of which holds. rows: how many each unit of the file has.
    """

    digest: str
    tokens: tuple[str, ...]
    rows: tuple[int, ...]

    @property
    def text(self) -> str:
        """How they were asked for, in words."""
        return " or ".join(self.tokens)


def parts_of(held: Mapping[str, Iterable[int]], kept: str = WHOLE) -> list[SitePart]:
    """Return the parts of a mapping of sites to numbers, by name."""
    return [SitePart(site, tuple(sorted(numbers)), kept) for site, numbers in sorted(held.items())]


def sites_of(parts: Iterable[SitePart]) -> frozenset[str]:
    """Return the names of the sites."""
    return frozenset(part.site for part in parts)


def together(parts: Iterable[SitePart]) -> dict[str, frozenset[int]]:
    """Return site → all of its numbers."""
    found: dict[str, frozenset[int]] = {}
    for part in parts:
        found[part.site] = found.get(part.site, frozenset()).union(part.numbers)
    return found


def without(parts: Iterable[SitePart], held: Mapping[str, frozenset[int]]) -> tuple[SitePart, ...]:
    """Return what of ``parts`` is not ``held``, in their order."""
    left = []
    for part in parts:
        here = held.get(part.site, frozenset())
        missing = tuple(number for number in part.numbers if number not in here)
        if missing:
            left.append(part._replace(numbers=missing))
    return tuple(left)


def ranges(numbers: Iterable[int]) -> str:
    """Return such as ``0-5,11``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
