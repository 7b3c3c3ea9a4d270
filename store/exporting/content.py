"""What goes into a copy of a run in another format: its columns and their rows, block by block.

A column is a site at one layer or depth. Rows come unit by unit, checked as they are read, so that
no more than the blocks of a unit is in use, and blocks stored as float32 stay mapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.store.errors import UsageError
from actlas.store.format.schema import BLOCK_DIMS, Json, SiteLayout, checksum
from actlas.store.labels.labels import TOKEN_LABELS
from actlas.store.reading.blocks import find_source
from actlas.store.reading.sources import sources_of
from actlas.store.writing.selection import ExportPlan

LARGEST_FILE = 2_000_000_000  # bytes: what every file system and hub takes
RECORD = "actlas.json"  # in each folder: what it is a copy of
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Column:
    """A site at one layer or depth, or without either."""

    layout: SiteLayout
    block: int  # its number in the plan
    number: int | None  # layer or depth in the model

    @property
    def name(self) -> str:
        """The column's name, such as ``mlp_post.3``; ``nll`` has no layer."""
        return self.layout.site if self.number is None else f"{self.layout.site}.{self.number}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a token."""
        return self.layout.block_shape[1:]


@dataclass(frozen=True)
class Content:
    """The columns of a plan and the labels of its tokens."""

    plan: ExportPlan
    progress: Progress = lambda *_: None

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns, site by site."""
        found = []
        for layout in self.plan.layouts:
            dim = layout.dims[0]
            numbers = layout.numbers if dim in BLOCK_DIMS else (None,)
            found += [Column(layout, block, number) for block, number in enumerate(numbers)]
        return tuple(found)

    @property
    def tokens(self) -> int:
        """Number of rows."""
        return self.plan.labels.tokens

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all rows as they are stored."""
        return sum(layout.nbytes for layout in self.plan.layouts)

    def blocks(self, column: Column) -> Iterator[npt.NDArray[Any]]:
        """Yield the rows of a column, unit by unit, as stored: bfloat16 as uint16."""
        for index in range(len(self.plan.units)):
            yield self.block(index, column)

    def block(self, index: int, column: Column) -> npt.NDArray[Any]:
        """Return the rows of a column in one unit of the plan, (token, …); raises DamagedStore."""
        rows = self.plan.read(index, column.layout.site, column.number or 0)
        self.progress(rows.nbytes, self.nbytes)
        return rows

    @cached_property
    def record(self) -> Json:
        """What the copy is of: the run, what was chosen of it, and each column with its digest."""
        known = self.plan.header
        kept = ("run", "specification", "description", "selection")
        record = {name: known[name] for name in (*kept, "labels_version", "labels_digest")}
        columns = {column.name: self.described(column) for column in self.columns}
        return {"format": "actlas-copy", **record, "columns": columns}

    def described(self, column: Column) -> Json:
        """Return site, layer and digest of a column, all text.

        The digest is the XXH3-64 of the checksums of the blocks that it was read from.
        """
        run, layout = self.plan.run, column.layout
        number, found = column.number or 0, []
        for unit, _ in self.plan.sources:
            stored = find_source(sources_of(self.plan.index, unit, layout.site), number).stored
            found.append(stored.checksums[stored.layout.places[number]])
        named = {} if column.number is None else {layout.dims[0]: str(column.number)}
        digest = checksum("".join(found).encode())
        return {"run": run.id, "site": layout.site, **named, "digest": digest}

    @cached_property
    def token_labels(self) -> dict[str, npt.NDArray[Any]]:
        """Label → values on ``token``: structural ones and all columns, not the text."""
        labels = self.plan.labels
        of_sentence = np.repeat(np.arange(len(labels.row_size)), labels.row_size)
        columns = {name: values[of_sentence] for name, values in labels.columns.items()}
        structural = {name: labels.token[name] for name in TOKEN_LABELS}
        return {**structural, **columns, **labels.token_columns}

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.plan.labels.row_size, dtype=np.int64)

    def text(self, first: int, last: int) -> list[str]:
        """Return the text of each token's sentence, of tokens first … last - 1."""
        sentences = np.searchsorted(self._ends, np.arange(first, last), side="right").tolist()
        texts = {each: str(self.plan.labels.text[each]) for each in dict.fromkeys(sentences)}
        return [texts[each] for each in sentences]


def widened(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows with bfloat16, which few libraries have, as the float32 that it is half of."""
    return (rows.astype(np.uint32) << 16).view(np.float32) if rows.dtype.kind == "u" else rows


def missing_library(name: str, kind: str) -> UsageError:
    """Return the error where a format's library is not installed."""
    return UsageError(f'--format {kind} needs {name}: pip install "actlas[out]"')
