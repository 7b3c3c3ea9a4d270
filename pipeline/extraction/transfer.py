"""The way of an activation from the device to the shard.

One copy, bounded memory, beside the computation.

On the CPU a writer thread reads the tensor where it lies. From a GPU rows leave through a ring of
pinned buffers on a side stream while the next block computes.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from actlas.pipeline.extraction.writes import WriteQueue
from actlas.pipeline.models.architecture import HookPoint
from actlas.store.errors import StoreError

if TYPE_CHECKING:
    import torch

    from actlas.store.writing.shard import ShardWriter

RING_SLOTS = 4
SLOT_BYTES = 32 << 20


class Transfer(Protocol):
    """Takes (batch, position, columns) tensors to a shard, padded rows left out."""

    def send(
        self, writer: ShardWriter, point: HookPoint, value: torch.Tensor, lengths: Sequence[int]
    ) -> None:
        """Bring the first ``lengths[i]`` rows of sentence i to ``writer``.

        It gets them later, in order.
        """


class HostTransfer:
    """From CPU memory.

    The tensor is kept alive, not copied, until the writer has put it into the page cache.
    """

    def __init__(self, writes: WriteQueue) -> None:
        self._writes = writes

    def send(
        self, writer: ShardWriter, point: HookPoint, value: torch.Tensor, lengths: Sequence[int]
    ) -> None:
        """Queue the rows of every sentence, as they lie.

        A copy where the model will change them.
        """
        array = as_numpy(value.clone() if point.row.copy else value)
        nbytes = array.size * array.itemsize

        def write() -> None:
            rows = [
                np.ascontiguousarray(sentence[:length])
                for sentence, length in zip(array, lengths, strict=True)
            ]
            writer.write(*point.key, sum(lengths), rows)
            self._writes.flush_now_and_then(nbytes, writer.flush)

        self._writes.submit(nbytes, write)


class CudaTransfer:
    """From a GPU: padded rows are dropped on the device.

    The rest is copied through pinned buffers on a stream of its own.
    """

    def __init__(
        self,
        writes: WriteQueue,
        device: torch.device,
        slots: int = RING_SLOTS,
        slot_bytes: int = SLOT_BYTES,
    ) -> None:
        import torch

        self._writes = writes
        self._device = device
        self._free: queue.SimpleQueue[torch.Tensor] = queue.SimpleQueue()
        self._slot_bytes = slot_bytes
        self._batch: tuple[tuple[int, ...], int] | None = None
        self._rows: torch.Tensor | None = None
        # pinned memory and events belong to the current device: without this, to the first of all
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)
            for _ in range(slots):
                self._free.put(torch.empty(slot_bytes, dtype=torch.uint8, pin_memory=True))

    def send(
        self, writer: ShardWriter, point: HookPoint, value: torch.Tensor, lengths: Sequence[int]
    ) -> None:
        """Start the copy of the rows, in pieces of a slot, and queue their writing."""
        rows = real_rows(value, lengths, self._kept(tuple(lengths), value.shape[1]))
        count = max(1, self._slot_bytes // max(1, rows[0].nbytes))
        for piece in rows.split(count):
            self._send_piece(writer, point, piece)

    def _kept(self, lengths: tuple[int, ...], padded: int) -> torch.Tensor:
        """Return ``kept_rows`` on the device, brought there once a batch."""
        if self._rows is None or self._batch != (lengths, padded):
            self._batch, self._rows = (lengths, padded), kept_rows(lengths, padded).to(self._device)
        return self._rows

    def _send_piece(self, writer: ShardWriter, point: HookPoint, rows: torch.Tensor) -> None:
        slot = self._free.get()  # waits until the writer has emptied one
        try:
            host, copied = self._copied(slot, rows)

            def write() -> None:
                try:
                    copied.synchronize()
                    writer.write(*point.key, len(host), [as_numpy(host)])
                    self._writes.flush_now_and_then(host.nbytes, writer.flush)
                finally:
                    self._free.put(slot)

            self._writes.submit(0, write)  # the ring bounds the memory
        except BaseException:  # a slot that is lost would be waited for for ever
            self._free.put(slot)
            raise

    def _copied(
        self, slot: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.cuda.Event]:
        """Start the copy of ``rows`` into ``slot``.

        Return its place there and the event after it.
        """
        import torch

        host = slot[: rows.nbytes].view(rows.dtype).view(rows.shape)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            host.copy_(rows, non_blocking=True)
            copied = torch.cuda.Event(blocking=True)  # the writer sleeps while it waits
            copied.record(self._stream)
        # its memory is not given to another tensor before the copy is done
        rows.record_stream(self._stream)
        return host, copied


def kept_rows(lengths: Sequence[int], padded: int) -> torch.Tensor:
    """Return the indices of real rows, along batch · position.

    They are the first ``lengths[i]`` of ``padded`` rows of each sentence.
    """
    import torch

    return torch.cat([torch.arange(length) + row * padded for row, length in enumerate(lengths)])


def real_rows(
    value: torch.Tensor, lengths: Sequence[int], kept: torch.Tensor | None = None
) -> torch.Tensor:
    """Return (token, columns), contiguous, of (batch, position, columns), padded rows dropped.

    kept: ``kept_rows`` on the device of ``value``, where the caller has them.
    """
    padded = value.shape[1]
    rows = value.reshape(-1, *value.shape[2:])  # (batch · position, columns)
    if all(length == padded for length in lengths):
        return rows.contiguous()
    return rows.index_select(
        0, kept_rows(lengths, padded).to(value.device) if kept is None else kept
    )


def as_numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Return the tensor's memory as NumPy sees it.

    Bfloat16, which NumPy lacks, as its bits in uint16.
    """
    import torch

    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def narrowed(value: torch.Tensor, dtype: torch.dtype, point: HookPoint) -> torch.Tensor:
    """Return ``value`` in ``dtype``.

    Raises StoreError naming site, block and value where that overflows.
    """
    import torch

    if value.dtype == dtype:
        return value
    narrow = value.to(dtype)
    # least and largest are found in an eighth of the time that looking for infinities takes
    if bool(torch.stack(narrow.aminmax()).isfinite().all()):
        return narrow
    overflow = torch.isinf(narrow) & torch.isfinite(value)
    if bool(overflow.any()):
        name, block = point.key
        raise StoreError(
            f"{name}, {point.site.dims[0]} {block}: {float(value[overflow][0]):g} does not fit "
            f"{str(dtype).removeprefix('torch.')}: store float32 or bfloat16 instead "
            f"(--stored-dtype)"
        )
    return narrow
