"""Several units in one file: each site is one array over all their tokens, and a unit's block a range of rows of it.

What packing and exporting share. A unit's record points to its rows with the stride from one block to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.format.schema import (
    BLOCK_DIMS,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    data_spans,
)
from actlas.store.writing.shard import ShardRecord, ShardWriter

#: (index of the unit, site, block) → its rows as they are to be stored
Read = Callable[[int, str, int], npt.NDArray[Any]]


@dataclass(frozen=True)
class Several:
    """A finished file of several units, in order: the record of the whole, and the checksums of each unit's blocks."""

    units: tuple[Unit, ...]
    record: ShardRecord
    checksums: tuple[dict[str, tuple[str, ...]], ...]
    label_checksums: Mapping[str, tuple[str, ...]]  # label → of each unit

    def sites(self, index: int) -> dict[str, StoredSite]:
        """Return where the sites of one unit lie."""
        first = self._starts["token"][index]
        sites = {}
        for name, whole in self.record.sites.items():
            layout = narrow_layout(whole.layout, self.units[index].tokens)
            stride = whole.layout.block_bytes if layout.blocks > 1 else 0
            offset = whole.offset + first * layout.row_bytes
            sites[name] = StoredSite(layout, offset, self.checksums[index][name], stride)
        return sites

    def labels(self, index: int) -> dict[str, StoredLabel]:
        """Return where the labels of one unit lie."""
        unit = self.units[index]
        sizes = {"token": unit.tokens, "sentence": unit.sentences}
        labels = {}
        for name, label in self.record.labels.items():
            rows = rows_of(label, self._starts[label.dims[0]][index], sizes[label.dims[0]])
            labels[name] = replace(rows, checksum=self.label_checksums[name][index])
        return labels

    @cached_property
    def _starts(self) -> dict[str, list[int]]:
        """First token and first sentence of each unit."""
        return {
            "token": list(accumulate((unit.tokens for unit in self.units), initial=0)),
            "sentence": list(accumulate((unit.sentences for unit in self.units), initial=0)),
        }

    @property
    def bulk(self) -> tuple[tuple[int, int], ...]:
        """The spans that hold the sites and labels of all units."""
        return data_spans(self.record.sites, self.record.labels)


def write_units(
    writer: ShardWriter, layouts: Sequence[SiteLayout], units: Sequence[Unit], read: Read
) -> Several:
    """Fill ``writer``, opened for ``layouts`` over the tokens of all ``units``, from first to last byte, and finish it.

    Holds one block of one unit at a time.
    """
    checksums: list[dict[str, list[str]]] = [{layout.site: [] for layout in layouts} for _ in units]
    for layout in layouts:
        for block in range(layout.blocks):
            for index, unit in enumerate(units):
                rows = np.ascontiguousarray(read(index, layout.site, block))
                checksums[index][layout.site].append(xxhash.xxh3_64_hexdigest(rows.data))
                writer.write(layout.site, layout.first + block, unit.tokens, [rows])
    of_units = ({site: tuple(digests) for site, digests in each.items()} for each in checksums)
    return Several(tuple(units), writer.finish(), tuple(of_units), writer.label_checksums(units))


def narrow_layout(layout: SiteLayout, tokens: int) -> SiteLayout:
    """Return ``layout`` with another number of tokens."""
    axis = 1 if layout.dims[0] in BLOCK_DIMS else 0
    return replace(layout, shape=(*layout.shape[:axis], tokens, *layout.shape[axis + 1 :]))


def rows_of(label: StoredLabel, start: int, count: int) -> StoredLabel:
    """Return a label of ``count`` tokens or sentences from the ``start``-th on."""
    row_bytes = int(np.prod(label.shape[1:], dtype=np.int64)) * np.dtype(label.dtype).itemsize
    return replace(
        label, shape=(count, *label.shape[1:]), offset=label.offset + start * row_bytes, checksum=""
    )
