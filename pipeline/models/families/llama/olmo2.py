"""OLMo 2: norms behind attention and MLP alone, and over all heads of queries and keys at once."""

from __future__ import annotations

from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import ATTENTION, ROWS, shapes
from actlas.pipeline.models.family import Fields, Row, Shapes

NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")


def _shapes(fields: Fields) -> Shapes:
    found = shapes(fields, NORMS, ATTENTION if fields["attention_bias"] else ())
    heads = {"q": "num_attention_heads", "k": "num_key_value_heads"}
    for layer in range(fields["num_hidden_layers"]):
        for name, number in heads.items():
            size = fields[number] * fields["head_dim"]
            found[f"layers.{layer}.self_attn.{name}_norm.weight"] = (size,)
    return found


OLMO2 = base.decoder(
    "olmo2",
    "Olmo2",
    base.config_rules({"rms_norm_eps": 1e-5, "vocab_size": 50304}),
    base.weight_rules("OLMo 2", _shapes),
    rows={
        **ROWS,
        "resid_mid": Row("{block}.mlp.gate_proj", "in", edit="attn_out"),  # no norm before it
        "q": Row("{block}.self_attn.q_proj", "out", edit="whole"),
        "k": Row("{block}.self_attn.k_proj", "out", edit="whole"),
        "q_normed": Row("{block}.self_attn.q_norm", "out"),
        "k_normed": Row("{block}.self_attn.k_norm", "out"),
        "attn_out": Row("{block}.post_attention_layernorm", "out"),
        "mlp_out": Row("{block}.post_feedforward_layernorm", "out"),
    },
)
