"""Equal numbers of tokens of each group in every stratum, drawn with a seed.

Object and possessive "her" stand at other positions; where position alone tells groups apart, a
difference between them says little. In a stratum (a position, a length, a value of a column) all
groups keep as many tokens as the smallest has there.
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
