"""Llama 1 to 3, and the many models of its type."""

from __future__ import annotations

from actlas.pipeline.models.families.llama.decoder import (
    ATTENTION,
    MLP,
    PRE_NORMS,
    config_rules,
    decoder,
    shapes,
    weight_rules,
)
from actlas.pipeline.models.family import Fields, Shapes


def _shapes(fields: Fields) -> Shapes:
    biased = (ATTENTION if fields["attention_bias"] else ()) + (MLP if fields["mlp_bias"] else ())
    return shapes(fields, PRE_NORMS, biased)


LLAMA = decoder("llama", "Llama", config_rules({"mlp_bias": False}), weight_rules("Llama", _shapes))
