"""Want of memory is seen in every form torch gives it.

A slot of the ring comes back whatever a copy raises.
"""

import queue

import numpy as np
import pytest
import torch

from actlas.pipeline.extraction.forward import out_of_memory
from actlas.pipeline.extraction.transfer import CudaTransfer, narrowed
from actlas.pipeline.extraction.writes import WriteQueue
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.geometry import Geometry
from actlas.store.errors import StoreError

MESSAGES = (
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some "
    "other API call",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "CUDA driver error: out of memory",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 9 bytes.",
)


@pytest.mark.parametrize("message", MESSAGES)
def test_want_of_memory_is_seen(message):
    assert out_of_memory(RuntimeError(message))
    assert (
        out_of_memory(torch.AcceleratorError(message))
        if hasattr(torch, "AcceleratorError")
        else True
    )


def test_classes_of_their_own_are_seen():
    assert out_of_memory(torch.OutOfMemoryError("any"))
    assert out_of_memory(MemoryError())


def test_a_real_refusal_of_the_allocator_is_seen():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError(MESSAGES[0])],
)
def test_other_errors_are_not(error):
    assert not out_of_memory(error)


class Copied:
    """An event that has happened."""

    def synchronize(self):
        pass


class Writer:
    """Takes rows; fails where it is to."""

    def __init__(self):
        self.rows, self.error = [], None

    def write(self, _site, _block, _tokens, rows):
        if self.error:
            raise self.error
        self.rows.append(np.concatenate(rows).copy())

    def flush(self):
        pass


class Ring(CudaTransfer):
    """The ring in plain memory: all of it but CUDA's stream and event."""

    def __init__(self, writes, slots):
        self._writes, self._slot_bytes, self._batch, self._rows = writes, 64, None, None
        self._device, self._free, self.fails = torch.device("cpu"), queue.SimpleQueue(), 0
        for _ in range(slots):
            self._free.put(torch.empty(64, dtype=torch.uint8))

    def _copied(self, slot, rows):
        if self.fails:
            self.fails -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        host = slot[: rows.nbytes].view(rows.dtype).view(rows.shape)
        return host.copy_(rows), Copied()


@pytest.fixture
def place():
    return Architecture(GPT2, Geometry(1, 1, 4, 4, 16, 8, 9)).hook_point("resid", 0)


def test_a_slot_comes_back_when_a_copy_raises(place):
    """Two lost slots of two, and the next unit would wait for ever."""
    value = torch.arange(2 * 10 * 4, dtype=torch.float32).reshape(2, 10, 4)
    with WriteQueue() as writes:
        ring, writer = Ring(writes, slots=2), Writer()
        for _ in range(5):
            ring.fails = 1
            with pytest.raises(torch.OutOfMemoryError):
                ring.send(writer, place, value, (10, 7))
            assert ring._free.qsize() == 2
        ring.send(writer, place, value, (10, 7))
        writes.drain()
        assert ring._free.qsize() == 2
    np.testing.assert_array_equal(
        np.concatenate(writer.rows), np.concatenate([value[0], value[1, :7]])
    )


def test_a_slot_comes_back_when_writing_raises(place):
    value = torch.ones(1, 30, 4)
    with WriteQueue() as writes:
        ring, writer = Ring(writes, slots=2), Writer()
        writer.error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            ring.send(writer, place, value, (30,))
            writes.drain()
        writes.settle()
        assert ring._free.qsize() == 2


POINT = Architecture(GPT2, Geometry(1, 1, 4, 4, 4, 8, 9)).hook_point("final_norm", 0)


@pytest.mark.parametrize("values", [[1, 2], [np.nan, 1], [np.inf, -np.inf], [np.nan, 65504]])
def test_what_fits_is_narrowed(values):
    given = torch.tensor(values, dtype=torch.float32)
    np.testing.assert_array_equal(narrowed(given, torch.float16, POINT), values)


@pytest.mark.parametrize("values", [[1e5, 1], [np.nan, -1e5], [np.inf, 1e5]])
def test_what_does_not_fit_is_refused_beside_what_is_no_number_too(values):
    with pytest.raises(StoreError, match=r"final_norm, .*: -?100000 does not fit float16"):
        narrowed(torch.tensor(values, dtype=torch.float32), torch.float16, POINT)
