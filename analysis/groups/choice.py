"""What can be chosen of groups, as one frozen object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from actlas.analysis.data.pooling import Pool
from actlas.analysis.data.tokens import Target
from actlas.analysis.groups.grammar import Group
from actlas.store.errors import UsageError, quoted

FirstToken = Literal["leave", "group", "include"]


@dataclass(frozen=True)
class GroupChoice:
    """Which tokens are looked at, and in which groups.

    groups: as ``--group`` gives them. target: a word and its controls, pairs. by: a column, a group
    for each value. lengths: a group for short and for long tokens. contrast: pairs of names. match:
    position, length or a column. within: a column whose values name pairs of sentences.
    first_token: whether first and special tokens are left out, a group of their own, or part of
    all. every: whether all tokens are a group too.
    """

    groups: tuple[Group, ...] = ()
    target: Target | None = None
    by: str | None = None
    lengths: bool = False
    contrast: tuple[tuple[str, str], ...] = ()
    cluster: str = "sentence"
    match: str | None = None
    within: str | None = None
    first_token: FirstToken = "leave"
    pool: Pool = "last"
    case: bool = False
    seed: int = 0
    every: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown choice, or for pairs and what they exclude."""
        if self.within is not None and (self.match is not None or self.cluster != "sentence"):
            other = "--match" if self.match is not None else "--cluster"
            raise UsageError(
                f"--within {self.within} has one token of each group in a pair, and intervals over "
                f"pairs: leave {other} out"
            )
        for value, valid in (
            (self.first_token, get_args(FirstToken)),
            (self.pool, get_args(Pool)),
        ):
            if value not in valid:
                raise UsageError(f"unknown choice {value!r}: expected {', '.join(valid)}")

    @property
    def named(self) -> bool:
        """Whether any group was asked for."""
        return bool(self.groups or self.target or self.by or self.lengths)


def parse_contrasts(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the names in ``A:B`` texts; raises UsageError for what is none."""
    found = []
    for text in texts:
        one, colon, other = text.partition(":")
        if not colon or not one.strip() or not other.strip() or one.strip() == other.strip():
            raise UsageError(f"--contrast {quoted(text)}: expected A:B, names of two groups")
        found.append((one.strip(), other.strip()))
    return tuple(found)
