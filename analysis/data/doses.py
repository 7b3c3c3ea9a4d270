"""The numbers that differ between edits which are the same otherwise, read from their texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 3  # numbers of a series
NUMBER = re.compile(r"(\w+)=(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=[,\s]|$)")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Numbered:
    """A number of each variant, and what it is called."""

    name: str
    numbers: Floats


def varied(texts: Sequence[str]) -> dict[str, Floats]:
    """Return the numbers that differ between edits which are the same otherwise, by name.

    Empty where they differ in more than numbers. ``scale:layer=2,factor=0.5`` and
    ``scale:layer=2,factor=2.0`` differ in ``factor``.
    """
    if len({NUMBER.sub(r"\1=", text) for text in texts}) != 1:
        return {}
    found = [NUMBER.findall(text) for text in texts]
    columns: dict[str, Floats] = {}
    for place, (name, _) in enumerate(found[0]):
        numbers = np.array([float(each[place][1]) for each in found])
        if len(np.unique(numbers)) > 1 and name not in columns:
            columns[name] = numbers
    return columns


def doses(texts: Sequence[str]) -> tuple[Numbered, Numbered | None] | None:
    """Return the number that varies over edits, and that of each line where two do.

    None where they differ in other ways, or in fewer than FEWEST numbers.
    """
    columns = varied(texts)
    long = [name for name, numbers in columns.items() if len(np.unique(numbers)) >= FEWEST]
    if not long or len(columns) > 2:
        return None
    name = next((each for each in long if each not in ("layer", "depth")), long[0])
    others = [Numbered(each, numbers) for each, numbers in columns.items() if each != name]
    return Numbered(name, columns[name]), (others[0] if others else None)
