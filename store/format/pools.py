"""What the units of one file have in common, each distinct value kept once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actlas.store.format.commit_record import UnitLocation
from actlas.store.format.schema import (
    Json,
    SharedSite,
    canonical,
)

#: what units may have in common; each distinct value is kept once
POOLED = ("provenance", "edits", "upstream", "shared")


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a unit come from: what its record says beside them."""

    provenance: Json
    edits: list[Json] = field(default_factory=list)
    upstream: Json = field(default_factory=dict)
    shared: Mapping[str, SharedSite] = field(default_factory=dict)


def pool(
    origins: Sequence[Origin | UnitLocation],
) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
    """Return ``pools`` and ``members`` of the record of units with these origins, in order."""
    pools: dict[str, list[Any]] = {name: [] for name in POOLED}
    members: dict[str, list[int]] = {name: [] for name in POOLED}
    for name in POOLED:
        known: dict[bytes, int] = {}
        for origin in origins:
            value = getattr(origin, name)
            key = repr(sorted(value.items())).encode() if name == "shared" else canonical(value)
            if key not in known:
                known[key] = len(pools[name])
                pools[name].append(value)
            members[name].append(known[key])
    return pools, members
