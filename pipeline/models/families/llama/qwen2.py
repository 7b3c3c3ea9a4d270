"""Qwen 2 and 2.5: llama with biases of q, k and v, and windows in some layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import check_layers, count
from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import ATTENTION, PRE_NORMS, reader, shapes

#: of qwen2 and qwen3 alike
WINDOWS: Mapping[str, object] = {
    "layer_types": None,
    "max_window_layers": 28,
    "sliding_window": 4096,
}


def read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return config.json with a window only where it is used."""
    found = dict(reader()(config, where))
    if not config.get("use_sliding_window", False):
        found["sliding_window"] = None
    return found


def finish(fields: dict[str, Any], where: str) -> None:
    """Fill in sizes and which layers have a window: those from ``max_window_layers`` on."""
    base.finish(fields, where)
    first = fields.pop("max_window_layers")
    check_layers(fields, where, lambda layer: layer >= first)


_CONFIG = base.config_rules(
    {
        **WINDOWS,
        "intermediate_size": 22016,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "vocab_size": 151936,
    },
    without=("attention_bias", "head_dim"),
    finish=finish,
    read=read,
    kinds={"max_window_layers": count},
)

QWEN2 = base.decoder(
    "qwen2",
    "Qwen2",
    _CONFIG,
    base.weight_rules("Qwen2", lambda fields: shapes(fields, PRE_NORMS, ATTENTION[:3])),
)
