"""What groups must be, whatever they are of: of two clusters or more, and not the same twice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from actlas.analysis.groups.token_groups import Members
from actlas.store.errors import UsageError, quoted

FEWEST = 2  # clusters of a group: of one there is no telling what is its own


def check_groups(named: Mapping[str, Members]) -> None:
    """Refuse groups of one cluster, and two of the same tokens."""
    for name, members in named.items():
        clusters = len(np.unique(members.cluster))
        if clusters < FEWEST:
            tokens = f"{len(members)} token{'' if len(members) == 1 else 's'}"
            raise UsageError(
                f"group {quoted(name)} has {tokens} of {clusters} cluster: expected {FEWEST} "
                "clusters or more, or nothing can be said of it"
            )
    for one, other in combinations(named, 2):
        if np.array_equal(named[one].last, named[other].last):
            raise UsageError(f"groups {quoted(one)} and {quoted(other)} have the same tokens")


def shared_tokens(named: Mapping[str, Members]) -> list[str]:
    """Say which groups share tokens, a sentence each."""
    notes = []
    for one, other in combinations(named, 2):
        shared = len(np.intersect1d(named[one].last, named[other].last))
        if shared:
            notes.append(f"groups {one} and {other} share {shared} tokens")
    return notes
