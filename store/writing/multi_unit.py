"""Many units in one file.

Each site is one array over all their tokens, and a unit's block a range of rows of it.

What packing and exporting share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.pools import Origin
from actlas.store.format.schema import SiteLayout, Unit
from actlas.store.writing.shard import ShardRecord, ShardWriter

#: (index of the unit, site, layer or depth) → its rows as they are to be stored
Read = Callable[[int, str, int], npt.NDArray[Any]]


@dataclass(frozen=True)
class MultiUnitShard:
    """A finished file of many units, in order, and the checksums of each."""

    units: tuple[Unit, ...]
    shard: ShardRecord
    checksums: Mapping[str, str]  # site → of all blocks of the first unit, of the second, …
    label_checksums: Mapping[str, str]  # label → of the rows of each unit

    def commit(self, run: str, file: str, origins: Sequence[Origin | UnitLocation]) -> CommitRecord:
        """Return the commit record; its ``size`` is that of the HDF5 part."""
        checksums = (self.checksums, self.label_checksums)
        return self.shard.commit_of(run, self.units, file, origins, *checksums)


def write_units(
    writer: ShardWriter, layouts: Sequence[SiteLayout], units: Sequence[Unit], read: Read
) -> MultiUnitShard:
    """Fill ``writer``, opened for ``layouts`` over the tokens of all ``units``, and finish it.

    The file is written from its first byte to its last.

    Holds one block of one unit at a time.
    """
    checksums = {}
    for layout in layouts:
        of_units: list[list[str]] = [[] for _ in units]
        # block by block over all units: the bytes of the file from first to last, so no seek
        for number in layout.numbers:
            for index in range(len(units)):
                rows = np.ascontiguousarray(read(index, layout.site, number))
                of_units[index].append(xxhash.xxh3_64_hexdigest(rows.data))
                writer.write(layout.site, number, len(rows), [rows])
        checksums[layout.site] = "".join(map("".join, of_units))
    return MultiUnitShard(tuple(units), writer.finish(), checksums, writer.label_checksums(units))
