"""Gemma 2: norms behind attention and MLP too, soft caps, windows in every other layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import check_layers, optional, positive
from actlas.pipeline.models.families.gemma.gemma import AROUND_ZERO
from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import ATTENTION, ROWS, shapes
from actlas.pipeline.models.family import Fields, Row, Shapes

NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
#: what is added to the residual stream comes out of the norm behind
POST_NORM_ROWS: Mapping[str, Row] = {
    **ROWS,
    "resid_mid": Row("{block}.pre_feedforward_layernorm", "in", edit="attn_out"),
    "attn_out": Row("{block}.post_attention_layernorm", "out"),
    "mlp_out": Row("{block}.post_feedforward_layernorm", "out"),
}
OWN: Mapping[str, object] = {
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "layer_types": None,
    "max_position_embeddings": 8192,
    "num_attention_heads": 8,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
    "vocab_size": 256000,
}
KINDS = {
    "attn_logit_softcapping": optional(0.0, 1e6),
    "final_logit_softcapping": optional(0.0, 1e6),
    "query_pre_attn_scalar": positive,
}
CAP = "final_logit_softcapping"


def finish(fields: dict[str, Any], where: str) -> None:
    """Fill in sizes and which layers have a window: every other, the first among them."""
    base.finish(fields, where)
    check_layers(fields, where, lambda layer: layer % 2 == 0)


def shapes_of(fields: Fields) -> Shapes:
    """Return name → shape of every tensor."""
    return shapes(fields, NORMS, ATTENTION if fields["attention_bias"] else ())


GEMMA2 = base.decoder(
    "gemma2",
    "Gemma2",
    base.config_rules(OWN, without=("hidden_act",), finish=finish, kinds=KINDS),
    base.weight_rules("Gemma 2", shapes_of),
    POST_NORM_ROWS,
    cap=CAP,
    readout=AROUND_ZERO,
    attention="eager",  # sdpa leaves the cap of the scores out, or is refused, by version
)
