"""Running a unit: batches of right-padded token ids through the model.

Every activation is handed to the shard as it appears.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actlas.pipeline.edits.apply import Batch
from actlas.pipeline.edits.dropout import dropout_drawn
from actlas.pipeline.extraction.hooks import run_captured
from actlas.pipeline.extraction.loss import token_loss
from actlas.pipeline.extraction.transfer import Transfer, narrowed
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.store.errors import StoreError
from actlas.store.format.parts import SitePart
from actlas.store.format.schema import StoredDtype, Unit
from actlas.store.labels.labels import Labels

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.extraction.stored_stream import StoredStream
    from actlas.pipeline.extraction.variant_pass import VariantPass
    from actlas.pipeline.extraction.writes import WriteQueue
    from actlas.pipeline.models.family import Model
    from actlas.store.writing.shard import ShardWriter


#: what torch says for want of memory in errors that have no class of their own
MEMORY_SIGNS = (
    "can't allocate memory",  # DefaultCPUAllocator
    "CUDA out of memory",
    "CUDA error: out of memory",  # from the runtime, past torch's allocator
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True)
class RunContext:
    """What all units of a run have in common in the model."""

    keys: int  # tokens of the longest sentence
    seed: int | None = None  # of dropout; None where it is off
    variant_pass: VariantPass | None = None  # of a variant
    #: of a run without edits: where a pass can begin that adds layers to stored ones
    stored_stream: StoredStream | None = None


class Extractor:
    """A loaded model and the way its activations take.

    Halves a unit's batches when memory runs out, and keeps to that.
    """

    def __init__(
        self,
        model: Model,
        architecture: Architecture,
        transfer: Transfer,
        stored: StoredDtype,
        stopped: Callable[[], bool],
        context: RunContext,
    ) -> None:
        import torch

        self._context = context
        self._stopped = stopped
        self._model = model
        self._architecture = architecture
        self._transfer = transfer
        self._stored: torch.dtype = getattr(torch, stored)
        self.parts = 1  # batches a unit is cut into

    def run(
        self,
        unit: Unit,
        labels: Labels,
        parts: Sequence[SitePart],
        writer: ShardWriter,
        writes: WriteQueue,
    ) -> None:
        """Compute ``parts`` of ``unit``, whose labels are ``labels``.

        Every row is queued for ``writer``; where none of its tokens is kept there is none.

        Out of memory, the unit starts again in twice as many batches. Raises StoreError where one
        sentence is too much, KeyboardInterrupt at the next activation after ``stopped`` says so.
        """
        if not labels.rows and not self._context.variant_pass:
            return
        if self._context.seed is not None:
            # a sentence at a time: what is drawn must not depend on how units were planned
            self.parts = len(labels.text)
        while not self._attempt(unit, labels, parts, writer):
            if self.parts >= len(labels.text):
                raise StoreError(
                    "out of memory with one sentence at a time: use a shorter one, a smaller "
                    "--dtype or another --device"
                )
            self.parts *= 2
            writes.drain()
            _free_device_memory()
            writer.restart()

    def _attempt(
        self, unit: Unit, labels: Labels, parts: Sequence[SitePart], writer: ShardWriter
    ) -> bool:
        """Return whether it went through.

        On False nothing of the failed pass is referred to any more.
        """
        wanted = self._architecture.points_of(parts)
        first = 0
        if self._context.variant_pass:
            self._context.variant_pass.begin(unit)
        try:
            for part in _batches(labels, self.parts):
                with dropout_drawn(self._model, self._context.seed, int(part.token["sentence"][0])):
                    batch = Batch(padded_ids(part), tuple(part.row_size.tolist()))
                    self._forward(unit, batch, first, wanted, writer, kept_places(part))
                first += part.tokens
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return False
        return True

    def _forward(
        self,
        unit: Unit,
        batch: Batch,
        first: int,
        wanted: Sequence[HookPoint],
        writer: ShardWriter,
        kept: npt.NDArray[np.int64] | None,
    ) -> None:
        import torch

        family = self._architecture.family
        token_ids = torch.from_numpy(batch.token_ids).to(self._model.device)
        places = None if kept is None else torch.from_numpy(kept).to(token_ids.device)
        lengths = batch.lengths if kept is None else (len(kept),)

        def sink(point: HookPoint, value: torch.Tensor) -> None:
            if self._stopped():
                raise KeyboardInterrupt
            if point.site.loss:
                value = token_loss(family, self._model, value, token_ids, batch.lengths)
            if places is not None:  # (1, token, …), as of one sentence
                value = value.flatten(0, 1).index_select(0, places)[None]
            if not sum(lengths):
                return
            if not point.site.loss:
                value = narrowed(value, self._stored, point)
            if point.site.weights:  # a key that is not there has a weight of 0
                value = torch.nn.functional.pad(value, (0, self._context.keys - value.shape[-1]))
            self._transfer.send(writer, point, value, lengths)

        with torch.inference_mode():
            if self._context.variant_pass:
                self._context.variant_pass.forward(self._model, batch, first, wanted, sink)
            else:
                real = None if family.causal else torch.from_numpy(batch.real).to(token_ids.device)
                stream, model = self._context.stored_stream, self._model
                start = stream.start(model, unit, batch, first, wanted) if stream else None
                run_captured(model, self._architecture, token_ids, wanted, sink, start, real)


def padded_ids(batch: Labels) -> npt.NDArray[np.int64]:
    """Return token ids (sentence, position) int64, padded on the right.

    Padding is each sentence's own last token, because not every family has a padding token and
    transformers suspects every other one.
    """
    starts = np.concatenate([[0], np.cumsum(batch.row_size)[:-1]])
    positions = np.arange(int(batch.row_size.max()))
    # (sentence, position)
    rows = starts[:, None] + np.minimum(positions[None, :], batch.row_size[:, None] - 1)
    token_ids: npt.NDArray[np.int64] = batch.token["token_id"][rows].astype(np.int64)
    return token_ids


def kept_places(batch: Labels) -> npt.NDArray[np.int64] | None:
    """Return where the kept tokens of a batch lie along its padded sentence · position.

    None where all are kept.
    """
    if batch.kept is None:
        return None
    starts = np.concatenate([[0], np.cumsum(batch.row_size)[:-1]])
    sentence = np.repeat(np.arange(len(batch.row_size)), batch.row_size)
    places = sentence * int(batch.row_size.max()) + np.arange(batch.tokens) - starts[sentence]
    found: npt.NDArray[np.int64] = places[batch.kept.mask.astype(bool)]
    return found


def _batches(labels: Labels, parts: int) -> list[Labels]:
    bounds = np.linspace(0, len(labels.text), min(parts, len(labels.text)) + 1).astype(int)
    return [labels.sentences(int(start), int(end - start)) for start, end in pairwise(bounds)]


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python raised ``error`` for want of memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in MEMORY_SIGNS)


def _free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
