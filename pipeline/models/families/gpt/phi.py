"""Phi 1, 1.5 and 2: attention and MLP read one input, biases everywhere, parts of heads turned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import REFUSED, size_or_none
from actlas.pipeline.models.families.llama import decoder as base
from actlas.pipeline.models.families.llama.decoder import EMBEDDING, HEAD, LAYERS
from actlas.pipeline.models.family import ConfigRules, Family, Fields, Row, Shapes, WeightRules
from actlas.pipeline.models.rope import write_rope
from actlas.store.errors import UsageError

DROPOUTS = ("attention_dropout", "embd_pdrop", "resid_pdrop")
ATTENTION, NORM = "{block}.self_attn", "model.final_layernorm"


def _write(fields: Fields, modern: bool) -> Mapping[str, Any]:
    found = {name: value for name, value in fields.items() if name != "rope"}
    rope = write_rope(fields["rope"], modern=modern, fraction="partial_rotary_factor")
    return {**found, **rope}


def _without_norms(value: Any) -> bool:
    if value is not False:
        raise ValueError("false, as every published Phi has it")
    return False


def _finish(fields: dict[str, Any], where: str) -> None:
    base.finish(fields, where)
    if fields["tie_word_embeddings"]:
        raise UsageError(
            f"{where}: tie_word_embeddings is true, expected false for a head with bias"
        )


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input)."""
    width, hidden, words = fields["hidden_size"], fields["intermediate_size"], fields["vocab_size"]
    queries, keys = (
        fields[name] * fields["head_dim"] for name in ("num_attention_heads", "num_key_value_heads")
    )
    linear = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.dense": (width, queries),
        "mlp.fc1": (hidden, width),
        "mlp.fc2": (width, hidden),
    }
    found: Shapes = {EMBEDDING: (words, width), HEAD: (words, width), "lm_head.bias": (words,)}
    norms = ["final_layernorm"]
    for layer in range(fields["num_hidden_layers"]):
        block = f"layers.{layer}."
        norms.append(f"{block}input_layernorm")
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": shape[:1] for name, shape in linear.items()}
    for name in norms:
        found |= {f"{name}.{part}": (width,) for part in ("weight", "bias")}
    return found


PHI = Family(
    model_type="phi",
    model_class="PhiForCausalLM",
    config_class="PhiConfig",
    base="model",
    blocks=LAYERS,
    last=Row(NORM, "in"),
    law="parallel",
    rows={
        "resid": Row("{block}", "in"),
        "q": Row(f"{ATTENTION}.q_proj", "out"),
        "k": Row(f"{ATTENTION}.k_proj", "out"),
        "v": Row(f"{ATTENTION}.v_proj", "out"),
        "q_rot": Row(ATTENTION, "attention", form="heads first", part="query"),
        "k_rot": Row(ATTENTION, "attention", form="heads first", part="key"),
        "z": Row(f"{ATTENTION}.dense", "in"),
        "attn_out": Row(f"{ATTENTION}.dense", "out"),
        "mlp_pre": Row("{block}.mlp.fc1", "out"),
        "mlp_post": Row("{block}.mlp.fc2", "in"),
        "mlp_out": Row("{block}.mlp.fc2", "out"),
        "pattern": Row(ATTENTION, "attention", part="pattern"),
        "final_norm": Row(NORM, "out"),
        "nll": Row(NORM, "out"),
    },
    config=ConfigRules(
        defaults={
            "attention_dropout": 0.0,
            "embd_pdrop": 0.0,
            "head_dim": None,
            "hidden_act": "gelu_new",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 2048,
            "num_attention_heads": 32,
            "num_hidden_layers": 24,
            "num_key_value_heads": None,
            "qk_layernorm": False,
            "resid_pdrop": 0.0,
            "rope": None,
            "tie_word_embeddings": False,
            "vocab_size": 51200,
        },
        aliases={},
        ranges={"layer_norm_eps": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=REFUSED,
        dropouts=DROPOUTS,
        finish=_finish,
        kinds={
            "head_dim": size_or_none,
            "num_key_value_heads": size_or_none,
            "qk_layernorm": _without_norms,
            "rope": lambda value: value,
        },
        read=base.reader(fraction=0.5),
        write=_write,
    ),
    weights=WeightRules(
        title="Phi",
        prefix="model.",
        head=HEAD,
        embedding=EMBEDDING,
        ignored=(".rotary_emb.inv_freq",),
        computing=("layers.", "embed_tokens.", "final_layernorm.", "lm_head."),
        block=r"layers\.(\d{1,9})\.",
        layers="num_hidden_layers",
        always=(EMBEDDING, "final_layernorm.weight"),
        shapes=_shapes,
    ),
    sizes=base.geometry,
)
