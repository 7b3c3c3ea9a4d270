"""Qwen 3: heads of a size of their own, queries and keys normed before they are turned."""

from __future__ import annotations

from actlas.pipeline.models.families.fields import count
from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import ATTENTION, PRE_NORMS, ROWS, shapes
from actlas.pipeline.models.families.llama.qwen2 import WINDOWS, finish, read
from actlas.pipeline.models.family import Fields, Row, Shapes


def _shapes(fields: Fields) -> Shapes:
    biased = ATTENTION if fields["attention_bias"] else ()
    return shapes(fields, PRE_NORMS, biased, qk_norm=True)


_CONFIG = base.config_rules(
    {
        **WINDOWS,
        "head_dim": 128,
        "intermediate_size": 22016,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "vocab_size": 151936,
    },
    finish=finish,
    read=read,
    kinds={"max_window_layers": count},
)

QWEN3 = base.decoder(
    "qwen3",
    "Qwen3",
    _CONFIG,
    base.weight_rules("Qwen3", _shapes),
    rows={
        **ROWS,
        "q_normed": Row("{block}.self_attn.q_norm", "out", form="heads"),
        "k_normed": Row("{block}.self_attn.k_norm", "out", form="heads"),
    },
)
