"""Phi 3 and 4: llama with q, k, v in one matrix, gate and up in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import EMBEDDING, HEAD, PRE_NORMS, RANGES, ROWS
from actlas.pipeline.models.family import Fields, Row, Shapes
from actlas.pipeline.models.picks import fused, half
from actlas.pipeline.models.rope import write_rope

DROPOUTS = ("attention_dropout", "embd_pdrop", "resid_pdrop")
QKV, GATE_UP = "{block}.self_attn.qkv_proj", "{block}.mlp.gate_up_proj"


def _write(fields: Fields, modern: bool) -> Mapping[str, Any]:
    found = {name: value for name, value in fields.items() if name not in ("rope", "head_dim")}
    rope = write_rope(fields["rope"], modern=modern, fraction="partial_rotary_factor")
    return {**found, **rope, "original_max_position_embeddings": fields["max_position_embeddings"]}


def _shapes(fields: Fields) -> Shapes:
    width, hidden, size = fields["hidden_size"], fields["intermediate_size"], fields["head_dim"]
    heads, keys = fields["num_attention_heads"], fields["num_key_value_heads"]
    linear = {
        "self_attn.qkv_proj": ((heads + 2 * keys) * size, width),
        "self_attn.o_proj": (width, heads * size),
        "mlp.gate_up_proj": (2 * hidden, width),
        "mlp.down_proj": (width, hidden),
    }
    found: Shapes = {EMBEDDING: (fields["vocab_size"], width), "norm.weight": (width,)}
    for layer in range(fields["num_hidden_layers"]):
        found |= {f"layers.{layer}.{name}.weight": shape for name, shape in linear.items()}
        found |= {f"layers.{layer}.{name}.weight": (width,) for name in PRE_NORMS}
    if not fields["tie_word_embeddings"]:
        found[HEAD] = found[EMBEDDING]
    return found


_RULES = base.config_rules(
    {
        "embd_pdrop": 0.0,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 4096,
        "resid_pdrop": 0.0,
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
        "vocab_size": 32064,
    },
    without=("attention_bias",),
    write=_write,
    kinds={"rope": lambda value: value},
    ranges={**RANGES, **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
    dropouts=DROPOUTS,
)

PHI3 = base.decoder(
    "phi3",
    "Phi3",
    _RULES,
    base.weight_rules("Phi-3", _shapes),
    rows={
        **ROWS,
        "q": Row(QKV, "out", fused(0)),
        "k": Row(QKV, "out", fused(1)),
        "v": Row(QKV, "out", fused(2)),
        "mlp_pre": Row(GATE_UP, "out", half(0)),
        "mlp_up": Row(GATE_UP, "out", half(1)),
    },
)
