"""Tensors of safetensors files on their way into a readout: read once, held against their digest.

The digest of the weights is made of the digests of the tensors, so what is stored is what the run
was computed with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actlas.pipeline.models.family import WeightRules
from actlas.pipeline.models.files.digest_cache import tensor_digests
from actlas.pipeline.models.files.tensor_files import READ_BYTES, Entry, TensorFile, cut_short
from actlas.pipeline.models.files.weights import own_name
from actlas.store.errors import UsageError
from actlas.store.readouts.readout import widened
from actlas.store.readouts.record import VIEWS

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a weight file, and the digest that it had when the weights were hashed."""

    file: TensorFile
    name: str
    digest: str

    @property
    def entry(self) -> Entry:
        """Where it lies."""
        return self.file.entries[self.name]

    @property
    def dtype(self) -> str:
        """Its dtype, as a readout has it."""
        return DTYPES[self.entry.dtype]

    def pieces(self) -> Iterator[bytes]:
        """Yield its bytes.

        Raises UsageError where they are not those that were hashed, or hold a number that is none.
        """
        digest, entry = self.entry.hasher(), self.entry
        for start in range(entry.start, entry.end, READ_BYTES):
            size = min(READ_BYTES, entry.end - start)
            piece = os.pread(self.file.file.fileno(), size, start)
            if len(piece) != size:
                raise cut_short(self.file.path, self.name)
            digest.update(piece)
            self._check_finite(piece)
            yield piece
        if digest.hexdigest() != self.digest:
            raise UsageError(
                f"{self.file.path} has changed since it was hashed: give the command again"
            )

    def stored(self) -> npt.NDArray[np.generic]:
        """Return it as it is stored, bfloat16 as uint16."""
        flat = np.frombuffer(b"".join(self.pieces()), VIEWS[self.dtype])
        return flat.reshape(self.entry.shape)

    def widened(self) -> npt.NDArray[np.float32]:
        """Return it as float32."""
        return widened(self.stored(), self.dtype)

    def _check_finite(self, piece: bytes) -> None:
        numbers = widened(np.frombuffer(piece, VIEWS[self.dtype]), self.dtype)
        if not np.isfinite(numbers).all():
            raise UsageError(
                f"{self.file.path}: tensor {self.name} holds values that are NaN or infinite: "
                "copy or save the model again"
            )


def tensors_of(files: Sequence[TensorFile], rules: WeightRules) -> Mapping[str, Tensor]:
    """Return the tensors of open weight files by their names without a prefix."""
    found: dict[str, Tensor] = {}
    for file in files:
        digests = tensor_digests(file)
        for name, entry in file.entries.items():
            own = own_name(name, rules)
            if own is not None and entry.dtype in DTYPES:
                found[own] = Tensor(file, name, digests[name])
    return found
