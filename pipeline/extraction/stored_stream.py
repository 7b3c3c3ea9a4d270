"""The residual stream as a run has it stored: where a pass begins that needs no block before.

A variant begins where its first edit is; a run that gets further layers, at the last depth before
them. What is stored must be what the blocks before would give: numbers of the computation's own
precision, in the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actlas.pipeline.edits.apply import Batch
from actlas.pipeline.extraction.hooks import Start, blocks_return_tuples
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.store.errors import DamagedStore
from actlas.store.format.edit_records import STREAM
from actlas.store.format.schema import Unit
from actlas.store.reading.blocks import find_source, read_block
from actlas.store.reading.sources import sources_of
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model


class StoredStream:
    """The residual stream of ``run``, read batch by batch."""

    def __init__(self, run: Run, architecture: Architecture) -> None:
        self._run = run
        self._architecture = architecture

    def at(self, model: Model, unit: Unit, batch: Batch, first: int, depth: int) -> torch.Tensor:
        """Return the residual at ``depth``, (sentence, position, d_model), as the model has it.

        Padding has each sentence's last row. first: of the batch's tokens in the unit.
        """
        import torch

        try:
            block = self._read(unit, depth)  # (token, d_model)
        except DamagedStore:
            # another process may have packed it meanwhile: then it lies elsewhere
            self._run.refresh()
            block = self._read(unit, depth)
        padded = torch.from_numpy(block[first + _rows(batch)])
        return padded.to(device=model.device, dtype=model.dtype)

    def start(
        self, model: Model, unit: Unit, batch: Batch, first: int, wanted: Sequence[HookPoint]
    ) -> Start | None:
        """Return the last stored depth before all that is wanted; None where that is the first."""
        layers = self._architecture.geometry.n_layer
        blocked = ("layer", "depth")
        lowest = min(each.index if each.site.dims[0] in blocked else layers for each in wanted)
        held = self._run.index.held(unit).get(STREAM, frozenset())
        depth = max((depth for depth in held if depth <= lowest), default=0)
        if not depth:
            return None
        hidden = self.at(model, unit, batch, first, depth)
        return Start(depth, hidden, blocks_return_tuples(model, self._architecture))

    def _read(self, unit: Unit, depth: int) -> npt.NDArray[np.float32]:
        source = find_source(sources_of(self._run.index, unit, STREAM), depth)
        return read_block(source, depth, check=True)


def _rows(batch: Batch) -> npt.NDArray[np.int64]:
    """Return the token of every position, counted from the batch's first, (sentence, position).

    Padding has the last one.
    """
    starts = np.concatenate([[0], np.cumsum(batch.lengths)[:-1]])
    positions = np.arange(batch.token_ids.shape[1])
    rows: npt.NDArray[np.int64] = starts[:, None] + np.minimum(
        positions, np.array(batch.lengths)[:, None] - 1
    )
    return rows
