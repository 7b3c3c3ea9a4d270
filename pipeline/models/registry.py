"""The families of models that can be read: a line each."""

from __future__ import annotations

from collections.abc import Mapping

from actlas.pipeline.models.family import Family
from actlas.pipeline.models.gpt2 import GPT2

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (GPT2,)}


def family_of(model_type: object) -> Family | None:
    """Return the family of a ``model_type`` of config.json; None for one that is not supported."""
    return FAMILIES.get(model_type) if isinstance(model_type, str) else None
