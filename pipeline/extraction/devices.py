"""Devices of torch, by the names that users give them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch


def find_device(name: str) -> torch.device:
    """Return the torch device: a GPU for ``auto`` where there is one.

    Raises UsageError for one that is not there.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise UsageError(
            f"device {name!r} is not there: torch sees {gpus} CUDA devices "
            "(use --device cpu, or auto)"
        )
    return device


PRECISION = "highest"  # of products in float32, as torch calls it: float32, not TF32


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply in PRECISION inside, whatever the process chose before."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISION)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def device_name(device: torch.device) -> str:
    """Return ``cpu``, or ``cuda`` with the name of the card."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else "cpu"
