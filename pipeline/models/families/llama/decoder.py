"""What decoders with RMSNorm, rotary positions and gated MLPs have in common.

llama, mistral, qwen2, qwen3, gemma, gemma2 and gemma3_text differ in fields and in a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actlas.pipeline.models.families.fields import REFUSED, kinds_of_layers, size_or_none
from actlas.pipeline.models.family import (
    ConfigRules,
    Family,
    Fields,
    Row,
    Shapes,
    WeightRules,
)
from actlas.pipeline.models.geometry import Geometry, check_heads
from actlas.pipeline.models.rope import read_rope, write_rope
from actlas.store.errors import UsageError

EMBEDDING, HEAD = "embed_tokens.weight", "lm_head.weight"
LAYERS, NORM = "model.layers", "model.norm"
LAST = Row(NORM, "in")
ROWS: Mapping[str, Row] = {
    "resid": Row("{block}", "in"),
    "resid_mid": Row("{block}.post_attention_layernorm", "in", edit="attn_out"),
    "q": Row("{block}.self_attn.q_proj", "out"),
    "k": Row("{block}.self_attn.k_proj", "out"),
    "v": Row("{block}.self_attn.v_proj", "out"),
    "q_rot": Row("{block}.self_attn", "attention", form="heads first", part="query"),
    "k_rot": Row("{block}.self_attn", "attention", form="heads first", part="key"),
    "z": Row("{block}.self_attn.o_proj", "in"),
    "attn_out": Row("{block}.self_attn.o_proj", "out"),
    "mlp_pre": Row("{block}.mlp.gate_proj", "out"),
    "mlp_up": Row("{block}.mlp.up_proj", "out"),
    "mlp_post": Row("{block}.mlp.down_proj", "in"),
    "mlp_out": Row("{block}.mlp.down_proj", "out"),
    "pattern": Row("{block}.self_attn", "attention", part="pattern"),
    "final_norm": Row(NORM, "out"),
    "nll": Row(NORM, "out"),
}
DEFAULTS: Mapping[str, object] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "head_dim": None,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 2048,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": None,
    "rms_norm_eps": 1e-6,
    "rope": None,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}
RANGES: Mapping[str, tuple[float, float]] = {
    "attention_dropout": (0.0, 1.0),
    "rms_norm_eps": (0.0, 1.0),
}


def geometry(fields: Fields) -> Geometry:
    """Return the sizes that effective ``fields`` say."""
    return Geometry(
        n_layer=fields["num_hidden_layers"],
        n_head=fields["num_attention_heads"],
        n_kv_head=fields["num_key_value_heads"],
        d_model=fields["hidden_size"],
        d_head=fields["head_dim"],
        d_mlp=fields["intermediate_size"],
        positions=fields["max_position_embeddings"],
        vocabulary=fields["vocab_size"],
    )


def finish(fields: dict[str, Any], where: str) -> None:
    """Fill in heads and their size; raises UsageError for those that do not fit."""
    heads, width = fields["num_attention_heads"], fields["hidden_size"]
    if fields.get("head_dim") is None:
        check_heads(fields, "hidden_size", "num_attention_heads", where)
        fields["head_dim"] = width // heads
    keys = fields["num_key_value_heads"] = fields["num_key_value_heads"] or heads
    if heads % keys:
        raise UsageError(
            f"{where}: num_attention_heads {heads} is not a multiple of num_key_value_heads {keys}"
        )


def reader(**defaults: float) -> Callable[[Mapping[str, Any], str], Mapping[str, Any]]:
    """Return what reads config.json with its rotary positions; ``defaults`` as of ``read_rope``."""

    def read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        return {**config, "rope": read_rope(config, where, **defaults)}

    return read


def write(fields: Fields, modern: bool) -> Mapping[str, Any]:
    """Return the arguments of a configuration: rotary positions as its version reads them."""
    found = {name: value for name, value in fields.items() if name != "rope"}
    if "layer_types" in found:
        found["use_sliding_window"] = found["sliding_window"] is not None
    return {**found, **write_rope(fields["rope"], modern=modern)}


def whole_rope(value: Any) -> Any:
    """Return rotary positions as they were read; raises ValueError for a part of a head."""
    if value["fraction"] != 1:
        raise ValueError("a fraction of 1: its heads are turned as a whole")
    return value


def shapes(
    fields: Fields, norms: tuple[str, ...], biased: tuple[str, ...] = (), qk_norm: bool = False
) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input).

    norms: of a block, each (d_model,). biased: linear modules of a block that have a bias.
    """
    width, hidden, size = fields["hidden_size"], fields["intermediate_size"], fields["head_dim"]
    queries, keys = (fields[name] * size for name in ("num_attention_heads", "num_key_value_heads"))
    linear = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }
    found: Shapes = {EMBEDDING: (fields["vocab_size"], width), "norm.weight": (width,)}
    for layer in range(fields["num_hidden_layers"]):
        block = f"layers.{layer}."
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": linear[name][:1] for name in biased}
        found |= {f"{block}{name}.weight": (width,) for name in norms}
        if qk_norm:
            found |= {f"{block}self_attn.{name}_norm.weight": (size,) for name in "qk"}
    if not fields["tie_word_embeddings"]:
        found[HEAD] = found[EMBEDDING]
    return found


PRE_NORMS = ("input_layernorm", "post_attention_layernorm")
ATTENTION = tuple(f"self_attn.{name}_proj" for name in "qkvo")
MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def config_rules(
    own: Mapping[str, object],
    *,
    without: tuple[str, ...] = (),
    finish: Callable[[dict[str, Any], str], None] = finish,
    read: Callable[[Mapping[str, Any], str], Mapping[str, Any]] | None = None,
    write: Callable[[Fields, bool], Mapping[str, Any]] = write,
    kinds: Mapping[str, Callable[[Any], Any]] | None = None,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
    dropouts: tuple[str, ...] = ("attention_dropout",),
) -> ConfigRules:
    """Return the rules of a family: llama's, with fields of its ``own`` and ``without`` some."""
    defaults = {name: value for name, value in DEFAULTS.items() if name not in without}
    return ConfigRules(
        defaults={**defaults, **own},
        aliases={},
        ranges=ranges,
        refused=REFUSED,
        dropouts=dropouts,
        finish=finish,
        kinds={
            "head_dim": size_or_none,
            "num_key_value_heads": size_or_none,
            "sliding_window": size_or_none,
            "layer_types": kinds_of_layers,
            "rope": whole_rope,
            **(kinds or {}),
        },
        read=read or reader(),
        write=write,
    )


def weight_rules(
    title: str, shapes_of: Callable[[Fields], Shapes], renamed: Callable[[str], str] = str
) -> WeightRules:
    """Return the rules of a family whose tensors are called as llama's."""
    return WeightRules(
        title=title,
        prefix="model.",
        head=HEAD,
        embedding=EMBEDDING,
        ignored=(".rotary_emb.inv_freq",),  # angles, which old checkpoints carry
        computing=("layers.", "embed_tokens.", "norm.", "lm_head."),
        block=r"layers\.(\d{1,9})\.",
        layers="num_hidden_layers",
        always=(EMBEDDING, "norm.weight"),
        shapes=shapes_of,
        renamed=renamed,
    )


def decoder(
    model_type: str,
    classes: str,
    config: ConfigRules,
    weights: WeightRules,
    rows: Mapping[str, Row] = ROWS,
    **more: Any,
) -> Family:
    """Return a family of which ``classes`` begins the names of transformers' classes."""
    named = {"config_class": f"{classes}Config", "sizes": geometry, **more}
    return Family(
        model_type=model_type,
        model_class=f"{classes}ForCausalLM",
        base="model",
        blocks=LAYERS,
        last=LAST,
        law="add",
        rows=rows,
        config=config,
        weights=weights,
        **named,
    )
