"""Sizes of a model, named as in the store's dims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actlas.store.errors import UsageError


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model.

    ``d_head`` is not ``d_model / n_head`` in every family, nor ``n_kv_head`` always ``n_head``.
    """

    n_layer: int
    n_head: int
    d_model: int
    d_head: int
    d_mlp: int
    positions: int
    vocabulary: int
    n_kv_head: int = 0  # key and value heads; 0: as many as ``n_head``

    def __post_init__(self) -> None:
        """Fill in the number of key heads."""
        object.__setattr__(self, "n_kv_head", self.n_kv_head or self.n_head)

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dim but ``token`` and ``key``."""
        return {
            "layer": self.n_layer,
            "depth": self.n_layer + 1,
            "head": self.n_head,
            "kv_head": self.n_kv_head,
            "d_head": self.d_head,
            "d_model": self.d_model,
            "d_mlp": self.d_mlp,
        }


def check_heads(fields: Mapping[str, Any], width: str, heads: str, where: str) -> None:
    """Raise UsageError unless the field ``width`` is a multiple of the field ``heads``."""
    if fields[width] % fields[heads]:
        raise UsageError(
            f"{where}: {width} {fields[width]} is not a multiple of {heads} {fields[heads]}"
        )
