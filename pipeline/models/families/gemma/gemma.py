"""Gemma 1: llama with scaled embeddings and heads of a size of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.llama.decoder import (
    ATTENTION,
    PRE_NORMS,
    config_rules,
    decoder,
    reader,
    shapes,
    weight_rules,
)
from actlas.pipeline.models.family import Fields, ReadoutRules, Shapes


def _read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return config.json with one activation function.

    The newer field overrides the older. The first files say ``gelu`` in the older alone and mean
    its tanh form, which the models were trained with.
    """
    found = dict(reader()(config, where))
    if config.get("hidden_activation") is not None:
        found["hidden_act"] = config["hidden_activation"]
    elif config.get("hidden_act") == "gelu":
        found["hidden_act"] = "gelu_pytorch_tanh"
    return found


def _shapes(fields: Fields) -> Shapes:
    return shapes(fields, PRE_NORMS, ATTENTION if fields["attention_bias"] else ())


_CONFIG = config_rules(
    {
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "max_position_embeddings": 8192,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 16,
        "tie_word_embeddings": True,
        "vocab_size": 256000,
    },
    read=_read,
)

AROUND_ZERO = ReadoutRules(gain_offset=1.0)  # norms multiply by 1 + what is stored

GEMMA = decoder("gemma", "Gemma", _CONFIG, weight_rules("Gemma", _shapes), readout=AROUND_ZERO)
