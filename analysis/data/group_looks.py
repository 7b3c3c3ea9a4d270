"""How groups of tokens are drawn, in figures and charts alike; importing this costs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actlas.analysis.data.group_names import FIRST, REST, SPECIAL, WHOLE

# of Okabe and Ito, black and yellow left out
SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY = "#000000", "#888888"
LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Look:
    """The colour of a group, and the style of its lines."""

    colour: str
    line: str = "-"


RESERVED = {
    **{name: Look(INK) for name in WHOLE},
    FIRST: Look(GREY, "--"),
    SPECIAL: Look(GREY, ":"),
    REST: Look(GREY),
}


def group_looks(groups: Iterable[object]) -> dict[str, Look]:
    """Return how each group is drawn: the same in all figures of the same groups.

    Groups that every run has are black and grey; those that the user named have the colours, in
    their order, and after the last the first again with another line.
    """
    names = [str(group) for group in groups]
    named, found = [name for name in names if name not in RESERVED], dict(RESERVED)
    for at, name in enumerate(named):
        line = LINES[at // len(SERIES_COLOURS) % len(LINES)]
        found[name] = Look(SERIES_COLOURS[at % len(SERIES_COLOURS)], line)
    return {name: found[name] for name in names}
