"""Options of an extraction, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from actlas.pipeline.edits.spec import Edit
from actlas.store.errors import UsageError
from actlas.store.format.schema import NUMPY_VIEW, StoredDtype

Attention = Literal["auto", "sdpa", "eager"]


@dataclass(frozen=True)
class ExtractOptions:
    """What to compute and how.

    All but ``sites``, ``layers``, ``depths``, ``tokens``, ``whole``, ``unit_tokens`` and ``device``
    is part of the run's identity.
    """

    sites: tuple[str, ...]
    dtype: StoredDtype = "float32"  # of the computation
    stored_dtype: StoredDtype | None = None  # as computed where None
    attention: Attention = "auto"  # auto: the family's own, else sdpa
    unit_tokens: int = 2048  # of a batch, padding counted
    device: str = "auto"  # auto: a GPU where there is one
    dropout_seed: int | None = None  # dropout on, drawn from this seed; off where None
    edits: tuple[Edit, ...] = ()  # of a variant
    #: of ``sites``, those that nobody asked for: left out where the model's family lacks them
    by_default: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None  # of sites that have layers, ascending; all where None
    depths: tuple[int, ...] | None = None  # of ``resid``
    #: those that are kept: all, of a variant those of its baseline, where None
    tokens: tuple[str, ...] | None = None
    whole: tuple[str, ...] = ()  # sites of which all tokens are kept nevertheless

    def __post_init__(self) -> None:
        """Raise UsageError for values outside what is possible."""
        for name, value, valid in (
            ("dtype", self.dtype, tuple(NUMPY_VIEW)),
            ("stored dtype", self.stored, tuple(NUMPY_VIEW)),
            ("attention", self.attention, get_args(Attention)),
        ):
            if value not in valid:
                raise UsageError(f"unknown {name} {value!r}: expected {', '.join(valid)}")
        if self.unit_tokens < 1:
            raise UsageError(f"--unit-tokens is {self.unit_tokens}, expected 1 or more")
        if not self.sites:
            raise UsageError("no site was asked for: expected one --site at least")
        for name, numbers in (("layers", self.layers), ("depths", self.depths)):
            if numbers is not None and (not numbers or list(numbers) != sorted(set(numbers))):
                raise UsageError(f"--{name} is {numbers}, expected one at least, ascending")
        if self.dropout_seed is not None and self.dropout_seed < 0:
            raise UsageError(f"--seed is {self.dropout_seed}, expected 0 or more")
        if self.dropout_seed is not None and self.edits:
            raise UsageError(
                "edits are compared with a run that computes the same but for them: "
                "leave --train-mode out"
            )

    @property
    def mode(self) -> Literal["eval", "train"]:
        """Mode of the model, as part of the identity."""
        return "eval" if self.dropout_seed is None else "train"

    @property
    def stored(self) -> StoredDtype:
        """Dtype in the store."""
        return self.stored_dtype or self.dtype
