"""How findings put numbers: three digits, intervals in brackets, layers as ranges.

Brackets hold 95 % intervals over clusters, everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from actlas.store.format.parts import ranges

if TYPE_CHECKING:
    import xarray as xr

LARGE = 1_000  # from which on a number is written whole
LONGEST = 60  # characters of an edit in a sentence


def number(value: object, form: str = ".3g") -> str:
    """Return a number in ``form``; large ones whole, with commas."""
    found = float(value)  # type: ignore[arg-type]
    return f"{found:,.0f}" if abs(found) >= LARGE and math.isfinite(found) else f"{found:{form}}"


def interval(bounds: xr.DataArray | None, form: str = ".3g") -> str:
    """Return the interval `` [lower, upper]`` of ``bounds`` (bound,), with a space before it.

    Empty where there is none: None, or NaN.
    """
    if bounds is None:
        return ""
    lower, upper = (float(bounds.sel(bound=end)) for end in ("lower", "upper"))
    if math.isnan(lower) or math.isnan(upper):
        return ""
    return f" [{number(lower, form)}, {number(upper, form)}]"


def measured(result: xr.Dataset, name: str, form: str = ".3g", **where: object) -> str:
    """Return a number of ``result`` with its interval: ``0.31 [0.28, 0.35]``.

    where: the labels that choose it. The interval is of ``<name>_interval``, if there is one.
    """
    bounds = result.get(f"{name}_interval")
    chosen = None if bounds is None else bounds.sel(where)
    return number(result[name].sel(where), form) + interval(chosen, form)


def holds_value(bounds: xr.DataArray | None, value: float = 0.0) -> bool | None:
    """Whether an interval (bound,) includes ``value``; None where there is no interval."""
    if bounds is None or bool(bounds.isnull().any()):
        return None
    lower, upper = (float(bounds.sel(bound=end)) for end in ("lower", "upper"))
    return lower <= value <= upper


def places(numbers: Iterable[int], noun: str = "layer") -> str:
    """Return such as ``layer 3`` or ``layers 0–5 and 7``."""
    listed = sorted(numbers)
    *most, last = ranges(listed).replace("-", "–").split(",")
    joined = f"{', '.join(most)} and {last}" if most else last
    return f"{noun}{'' if len(listed) == 1 else 's'} {joined}"


def shortened(text: str) -> str:
    """Return a text that may be long, such as an edit, cut for a sentence."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def group_name(result: xr.Dataset, group: str) -> str:
    """Return how a sentence calls a group: the word that is studied in place of ``target``."""
    word = result.attrs.get("target")
    if group == "target" and word and "pair_target" in result:
        return f"'{word}'"
    return "the control" if group == "control" and "pair_target" in result else group


def bracket_note(result: xr.Dataset, found: list[str]) -> list[str]:
    """Return the sentences, with one more that says what brackets hold, where there are any."""
    if not any("[" in each for each in found):
        return found
    cluster = result.attrs.get("cluster", "sentence")
    return [*found, f"in brackets: 95 % intervals, whole clusters ({cluster}) drawn again"]
