"""Parts of sites: a site's layers or depths that are stored, wanted or missing together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class SitePart(NamedTuple):
    """Some layers or depths of a site."""

    site: str
    numbers: tuple[int, ...]  # ascending; 0 alone of a site that has neither


Parts = frozenset[SitePart]


def parts_of(held: Mapping[str, Iterable[int]]) -> list[SitePart]:
    """Return the parts of a mapping of sites to numbers, by name."""
    return [SitePart(site, tuple(sorted(numbers))) for site, numbers in sorted(held.items())]


def sites_of(parts: Iterable[SitePart]) -> frozenset[str]:
    """Return the names of the sites."""
    return frozenset(part.site for part in parts)


def together(parts: Iterable[SitePart]) -> dict[str, frozenset[int]]:
    """Return site → all of its numbers."""
    found: dict[str, frozenset[int]] = {}
    for site, numbers in parts:
        found[site] = found.get(site, frozenset()).union(numbers)
    return found


def without(parts: Iterable[SitePart], held: Mapping[str, frozenset[int]]) -> tuple[SitePart, ...]:
    """Return what of ``parts`` is not ``held``, in their order."""
    left = []
    for site, numbers in parts:
        here = held.get(site, frozenset())
        missing = tuple(number for number in numbers if number not in here)
        if missing:
            left.append(SitePart(site, missing))
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
