"""What all figures share: the style file, colours that are safe for the colour-blind, and names.

Text comes from anywhere: words, labels of columns, names of files. Here it becomes text that every
figure can hold.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl

from actlas.analysis.data.group_looks import GREY as GREY
from actlas.analysis.data.group_looks import INK as INK
from actlas.analysis.data.group_looks import LINES as LINES
from actlas.analysis.data.group_looks import SERIES_COLOURS as SERIES_COLOURS
from actlas.analysis.data.group_looks import Look as Look
from actlas.analysis.data.group_looks import group_looks as group_looks

STYLE = Path(__file__).with_name("actlas.mplstyle")
#: settings of a session, not of a figure, which no style may change
SESSION = (
    *("backend", "date.epoch", "docstring", "figure.max", "figure.raise", "interactive"),
    *("savefig.directory", "timezone", "tk.", "toolbar", "webagg"),
)

MUTED = "#444444"
INTERVAL = "95 % bootstrap over clusters"  # in legends, of bars and bands
MOST_GROUPS = 8  # of a figure: more lines, or entries of a legend, nobody tells apart
PROJECTION_NAMES = {"q": "Query Q", "k": "Key K", "v": "Value V"}
MARK = "�"  # in place of what cannot be drawn or written
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LONGEST = 60  # characters of a name from the data
#: of Unicode: control, surrogate, not assigned (XML has none of some), separators of lines
UNDRAWN = ("Cc", "Cs", "Cn", "Zl", "Zp")

#: how controls are chosen → what a legend says of it
CONTROLS = {"previous": "token before", "random": "earlier token", "matched": "same position"}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the style of actlas, whatever the user's; their rcParams come back behind it."""
    with mpl.rc_context(_settings()):
        yield


@cache
def _settings() -> Any:
    """Return matplotlib's own settings with those of the style file."""
    defaults = mpl.rcParamsDefault
    plain: dict[Any, Any] = {}
    for name, value in dict(defaults).items():
        if not name.startswith(SESSION):
            plain[name] = value
    return plain | dict(mpl.rc_params_from_file(STYLE, use_default_template=False))


def shown(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` from the data as a figure shows it.

    On one line, a mark for each control character, cut with ``…``.
    """
    plain = "".join(
        MARK if unicodedata.category(character) in UNDRAWN else character
        for character in text[: longest + 1]
    )
    plain = plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
    # of which matplotlib's legends would say nothing
    return f" {plain}" if plain.startswith("_") else plain


def projection_label(projection: str, heads: Mapping[str, int]) -> str:
    """Return how a panel calls ``q``, ``k`` or ``v``.

    heads: of each projection; said where they differ, as of grouped-query attention.
    """
    name, count = PROJECTION_NAMES[projection], heads[projection]
    if len(set(heads.values())) == 1:
        return name
    return f"{name} ({count} head{'s' if count > 1 else ''})"


def group_label(group: str, word: str | None = None, control: object = None) -> str:
    """Return how a legend calls a group.

    word: the target, where there is one. control: the option of that name, where the result has it.
    """
    if word is None or group not in ("target", "control"):
        return shown(group)
    if group == "target":
        return f"target “{shown(word)}”"
    kind = CONTROLS.get(str(control))
    return f"control: {kind}" if kind else "control"


def short(value: float) -> str:
    """Return a number of an axis, with a power of ten where it is far from 1."""
    if value and not 1e-3 <= abs(value) < 1e5:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        digits, sign = f"{abs(value) / 10.0**power:.3g}", "−" if value < 0 else ""
        times = "" if digits == "1" else f"{digits}×"
        return f"{sign}{times}10{str(power).translate(SUPERSCRIPTS)}"
    return f"{value:g}".replace("-", "−")


def a_few(count: int, most: int) -> list[int]:
    """Return at most ``most`` of ``range(count)``, evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(at * (count - 1) / (most - 1)) for at in range(most)]
