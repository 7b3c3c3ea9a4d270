"""How attention scores its keys, as a run records it: scale, cap, windows, rotary positions.

With these, weights of attention follow from stored queries and keys, without the model.
"""

from __future__ import annotations

from typing import Any

from actlas.pipeline.models.family import Fields
from actlas.pipeline.models.geometry import Geometry

SLIDING = ("sliding_attention", "local")


def score_facts(fields: Fields, geometry: Geometry) -> dict[str, Any]:
    """Return what a run's record says of attention.

    ``scale`` of the scores by layer; ``cap`` of the scaled scores, None without; ``window`` by
    layer: how many tokens a query sees, itself among them, None for all; ``rotary``: whether
    queries and keys are turned by their positions.
    """
    layers = range(geometry.n_layer)
    return {
        "scale": [_scale(fields, geometry, layer) for layer in layers],
        "cap": fields.get("attn_logit_softcapping"),
        "window": [_window(fields, layer) for layer in layers],
        "rotary": "rope" in fields or "rotary_dim" in fields,
    }


def _scale(fields: Fields, geometry: Geometry, layer: int) -> float:
    plain = float(geometry.d_head**-0.5)
    if "query_pre_attn_scalar" in fields:
        return float(fields["query_pre_attn_scalar"] ** -0.5)
    if "attention_layers" in fields or not fields.get("scale_attn_weights", True):
        plain = 1.0
    return plain / (layer + 1) if fields.get("scale_attn_by_inverse_layer_idx") else plain


def _window(fields: Fields, layer: int) -> int | None:
    kinds = fields.get("layer_types") or fields.get("attention_layers")
    if kinds is not None and kinds[layer] not in SLIDING:
        return None
    size = fields.get("sliding_window", fields.get("window_size"))
    return None if size is None else int(size)
