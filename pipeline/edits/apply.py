"""Edits at work.

Each changes the tensors at its target while the model runs, and counts what it did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actlas.pipeline.edits.spec import Edit, Noise, Scale, Skip, edit_record, edit_text
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.store.errors import StoreError
from actlas.store.format.edit_records import STREAM
from actlas.store.format.schema import Json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Batch:
    """Right-padded sentences that go through the model together."""

    token_ids: npt.NDArray[np.int64]  # (sentence, position)
    lengths: tuple[int, ...]

    @property
    def real(self) -> npt.NDArray[np.bool_]:
        """Which positions are tokens and not padding, (sentence, position)."""
        mask: npt.NDArray[np.bool_] = (
            np.arange(self.token_ids.shape[1]) < np.array(self.lengths)[:, None]
        )
        return mask


class Intervention:
    """One edit on its way through a unit."""

    def __init__(self, edit: Edit, architecture: Architecture) -> None:
        self.edit = edit
        at = edit.target.hook_point(architecture)
        #: the site is the sum of the block's input and what attention adds: it is changed there
        self._in_sum = at.row.edit == "attn_out"
        self.point = architecture.hook_point("attn_out", at.index) if self._in_sum else at
        #: the residual stream that is needed besides, None where the value itself is enough
        self.source: HookPoint | None = None
        if isinstance(edit, Skip) or self._in_sum:
            depth = at.index if self._in_sum else at.index - 1
            self.source = architecture.hook_point(STREAM, depth)
        self._columns = edit.target.columns(architecture)
        self.begin_unit()

    def begin_unit(self) -> None:
        """Forget what was counted."""
        self.times_applied = 0  # counted in sentences
        self._source: torch.Tensor | None = None  # what went into the block
        self._values = self._changed = 0
        self._largest = 0.0

    def begin_batch(self, batch: Batch) -> None:
        """Take what the next tensors are of."""
        self._batch = batch

    def keep(self, _point: HookPoint, source: torch.Tensor) -> None:
        """Take what goes into the block, (sentence, position, d_model)."""
        self._source = source

    def apply(self, value: torch.Tensor) -> torch.Tensor:
        """Return ``value`` (sentence, position, columns) edited; the tensor given stays as it is.

        Raises StoreError for a result that is not finite.
        """
        import torch

        columns = torch.from_numpy(self._columns).to(value.device)
        before = added = value[..., columns]
        source = None if self._source is None else self._source[..., columns]
        if self.source is not None and source is None:
            raise RuntimeError(
                f"{edit_text(self.edit)} was applied where the block's input is not known"
            )
        self._source = None
        if self._in_sum and source is not None:
            before = before + source
        after = self._edited(before, source)
        self._count(before, after)
        result = value.clone()
        if self._in_sum and source is not None:
            # (a + b) − b is not a: what an edit leaves alone stays to the bit
            after = torch.where(after == before, added, after - source)
        result[..., columns] = after
        return result

    def check(self) -> Json:
        """Return what is recorded of a unit.

        Sentences it was applied to, values at its target, how many of them changed and by how much
        at most.
        """
        return {
            "edit": edit_text(self.edit),
            "times_applied": self.times_applied,
            "values": self._values,
            "changed": self._changed,
            "max_change": self._largest,
        }

    def _edited(self, before: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        import torch

        edit = self.edit
        if isinstance(edit, Skip) and source is not None:
            return source
        if isinstance(edit, Scale):
            return before * edit.factor
        if isinstance(edit, Noise):
            drawn = torch.from_numpy(self._noise(edit, before.shape[-1]))
            return drawn.to(device=before.device, dtype=before.dtype)
        return torch.zeros_like(before)

    def _noise(self, edit: Noise, width: int) -> npt.NDArray[np.float32]:
        """Return draws (sentence, position, column).

        They depend on the sentence's own tokens, so its batch does not matter.
        """
        drawn = np.zeros((*self._batch.token_ids.shape, width), np.float32)
        for row, length in enumerate(self._batch.lengths):
            random = generator(edit, self._batch.token_ids[row, :length].tolist())
            # what overflows is refused, with the edit's name, when it is counted
            with np.errstate(over="ignore"):
                drawn[row, :length] = edit.mean + edit.std * random.standard_normal(
                    (length, width), np.float32
                )
        return drawn

    def _count(self, before: torch.Tensor, after: torch.Tensor) -> None:
        import torch

        real = torch.from_numpy(self._batch.real).to(before.device)
        change = (after[real].float() - before[real].float()).abs()
        self.times_applied += len(self._batch.lengths)
        self._values += change.numel()
        self._changed += int(torch.count_nonzero(change))
        largest = float(change.max())
        if not np.isfinite(largest):
            raise StoreError(
                f"{edit_text(self.edit)} makes values that are not finite: choose smaller ones, "
                f"or another --dtype"
            )
        self._largest = max(self._largest, largest)


def generator(edit: Noise, token_ids: Sequence[int]) -> np.random.Generator:
    """Return the source of an edit's noise in one sentence.

    It depends on the seed, the target and the sentence's tokens.
    """
    key = f"{edit.seed} {edit_record(edit).where} {' '.join(map(str, token_ids))}"
    return np.random.Generator(
        np.random.Philox(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))
    )
