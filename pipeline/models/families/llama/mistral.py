"""Mistral: llama without biases, with one window over all layers."""

from __future__ import annotations

from actlas.pipeline.models.families.llama.decoder import (
    PRE_NORMS,
    config_rules,
    decoder,
    shapes,
    weight_rules,
)

_CONFIG = config_rules(
    {
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
    without=("attention_bias",),
)

MISTRAL = decoder(
    "mistral",
    "Mistral",
    _CONFIG,
    weight_rules("Mistral", lambda fields: shapes(fields, PRE_NORMS)),
)
