"""Want of memory, made to order.

NumPy's n-th large allocation fails, or the whole process gets no more than a little.

NumPy's allocator is a table of C functions that may be replaced (NEP 49). It is altered in place,
so that it holds in all threads; what fails is an allocation that a small machine would not have
given.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGE = 2048  # bytes from which an allocation counts
GET_HANDLER = 305  # index of PyDataMem_GetHandler in NumPy's C API
ALLOCATOR = 128  # offset of the functions in PyDataMem_Handler, behind name[127] and version

# NumPy's own are called with the GIL held, which they expect
_OldMalloc = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_OldCalloc = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_Malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_Calloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_kept: list[Any] = []  # what C calls must not be collected


class _Functions(ctypes.Structure):
    _fields_ = (
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
    )


def fail_allocation(number: int, least: int = LARGE) -> Callable[[], int]:
    """Let the ``number``-th allocation of NumPy of at least ``least`` bytes fail.

    The result tells how many there were.
    """
    functions = _Functions.from_address(_handler() + ALLOCATOR)
    malloc, calloc = _OldMalloc(functions.malloc or 0), _OldCalloc(functions.calloc or 0)
    seen = 0

    def fails(nbytes: int) -> bool:
        nonlocal seen
        seen += nbytes >= least
        return nbytes >= least and seen == number + 1

    def own_malloc(context: int, nbytes: int) -> int | None:
        return None if fails(nbytes) else int(malloc(context, nbytes) or 0)

    def own_calloc(context: int, count: int, nbytes: int) -> int | None:
        return None if fails(count * nbytes) else int(calloc(context, count, nbytes) or 0)

    wrapped = (_Malloc(own_malloc), _Calloc(own_calloc))
    _kept.extend((malloc, calloc, *wrapped))
    functions.malloc, functions.calloc = (
        ctypes.cast(each, ctypes.c_void_p).value for each in wrapped
    )
    return lambda: seen


def limit_memory(more: int) -> None:
    """Give this process ``more`` bytes of address space beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _handler() -> int:
    """Return the address of NumPy's default handler."""
    import importlib

    numpy_core: Any = importlib.import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = ctypes.cast(pointer(numpy_core._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    handler = ctypes.PYFUNCTYPE(ctypes.py_object)(table[GET_HANDLER] or 0)()
    return int(pointer(handler, b"mem_handler"))
