"""Units: batches of consecutive sentences, computed together.

They are the unit of computation, of durability and of distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

from actlas.store.format.schema import Unit


def plan_units(row_sizes: Sequence[int], unit_tokens: int) -> list[Unit]:
    """Cut sentences, in order, into units of at most ``unit_tokens`` tokens, padding counted.

    row_sizes: tokens of each sentence. A sentence longer than ``unit_tokens`` is a unit of its own.
    """
    units: list[Unit] = []
    first, longest = 0, 0
    for sentence, size in enumerate(row_sizes):
        longest = max(longest, size)
        if sentence > first and longest * (sentence + 1 - first) > unit_tokens:
            units.append(_unit(len(units), first, row_sizes[first:sentence]))
            first, longest = sentence, size
    units.append(_unit(len(units), first, row_sizes[first:]))
    return units


def _unit(number: int, first: int, sizes: Sequence[int]) -> Unit:
    return Unit(number, first, len(sizes), int(sum(sizes)))
