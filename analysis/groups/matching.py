"""Equal numbers of tokens of each group in every stratum, or one each in every pair, drawn.

Object and possessive "her" stand at other positions; where position alone tells groups apart, a
difference between them says little. In a stratum (a position, a length, a value of a column) all
groups keep as many tokens as the smallest has there. Where sentences come in pairs, which differ
in a word, each group has one token of a pair, and pairs are drawn again: differences are within
pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from actlas.analysis.data.sentences import Indices
from actlas.analysis.groups.evaluation import TokenTable, column_labels
from actlas.analysis.groups.token_groups import Members
from actlas.store.errors import UsageError, unknown

POSITION, LENGTH = "position", "length"


def matched(
    members: Mapping[str, Members], names: Sequence[str], by: str, table: TokenTable, seed: int
) -> tuple[dict[str, Members], str]:
    """Return ``members`` with as many tokens of each of ``names`` in every stratum, and a note.

    by: ``position``, ``length`` or a column. Raises UsageError for an unknown column, or where no
    stratum has tokens of all groups.
    """
    level = _strata(by, table)
    levels = int(level.max(initial=-1)) + 1
    counts = [np.bincount(level[members[name].last], minlength=levels) for name in names]
    fewest = np.min(counts, axis=0)
    if not fewest.any():
        raise UsageError(
            f"--match {by}: no stratum has tokens of each of {', '.join(names)}: the groups "
            f"differ in {by} altogether"
        )
    generator, found, parts = np.random.default_rng(seed), dict(members), []
    for name in names:
        kept = _drawn(level[members[name].last], fewest, generator)
        found[name] = members[name].part(kept)
        left_out = len(members[name]) - len(kept)
        parts.append(f"{left_out} of {len(members[name])} tokens of {name}")
    return found, f"matched by {by}, left out are {', '.join(parts)}"


def paired(
    members: Mapping[str, Members], names: Sequence[str], by: str, table: TokenTable, seed: int
) -> tuple[dict[str, Members], str, tuple[str, ...]]:
    """Return ``members`` with one token of each of ``names`` in every pair, and a note.

    by: the column whose values name the pairs; an empty one is of none. Pairs without a token of
    each group are left out, of several tokens one is drawn. The tokens of all groups are in the
    order of their pairs, whose names come with them. Raises UsageError for an unknown column, or
    where no pair has tokens of all groups.
    """
    if by not in table.columns:
        raise unknown("column of pairs", by, table.columns)
    codes, values = pd.factorize(table.labels[by].values)
    shown = [str(value) for value in values]
    level = np.where(np.isin(codes, [n for n, each in enumerate(shown) if each]), codes, -1)
    counts = {
        name: np.bincount(level[each.last][level[each.last] >= 0], minlength=len(shown))
        for name, each in members.items()
        if name in names
    }
    fewest = np.min(list(counts.values()), axis=0)
    if not fewest.any():
        raise UsageError(f"--within {by}: no pair has tokens of each of {', '.join(names)}")
    generator, found = np.random.default_rng(seed), dict(members)
    for name in names:
        there = np.flatnonzero(level[members[name].last] >= 0)
        part = members[name].part(there)
        kept = _drawn(level[part.last], np.minimum(fewest, 1), generator)
        part = part.part(kept)
        found[name] = part.part(np.argsort(level[part.last], kind="stable"))
    pairs = int((fewest > 0).sum())
    every = int(np.any(list(counts.values()), axis=0).sum())
    more = sum(int((each[fewest > 0] - 1).sum()) for each in counts.values())
    note = f"{pairs} pairs by {by}; left out are {every - pairs} without a token of each group"
    note += f", and {more} further tokens of pairs" if more else ""
    return found, note, tuple(shown[at] for at in np.flatnonzero(fewest).tolist())


def _drawn(level: Indices, fewest: Indices, generator: np.random.Generator) -> Indices:
    """Return places of ``level``, ascending: as many of each stratum as ``fewest`` says."""
    shuffled = generator.permutation(len(level))
    order = shuffled[np.argsort(level[shuffled], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(level, minlength=len(fewest)))[:-1]])
    rank = np.arange(len(level)) - starts[level[order]]  # within the stratum
    return np.sort(order[rank < fewest[level[order]]])


def _strata(by: str, table: TokenTable) -> Indices:
    if by == POSITION:
        return table.position
    if by == LENGTH:
        return table.lengths
    if by not in column_labels(table.labels):
        raise unknown("column to match by", by, (POSITION, LENGTH, *table.columns))
    codes: Indices = pd.factorize(table.labels[by].values, use_na_sentinel=False)[0]
    return codes
