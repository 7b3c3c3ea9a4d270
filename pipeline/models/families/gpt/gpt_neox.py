"""GPT-NeoX and Pythia: attention and MLP read one input, q, k and v lie side by side in a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import REFUSED
from actlas.pipeline.models.family import ConfigRules, Family, Fields, Row, Shapes, WeightRules
from actlas.pipeline.models.geometry import Geometry, check_heads
from actlas.pipeline.models.picks import grouped
from actlas.pipeline.models.rope import read_rope, write_rope

EMBEDDING, HEAD = "embed_in.weight", "embed_out.weight"
DROPOUTS = ("attention_dropout", "hidden_dropout")
QKV, DENSE = "{block}.attention.query_key_value", "{block}.attention.dense"
UP, DOWN = "{block}.mlp.dense_h_to_4h", "{block}.mlp.dense_4h_to_h"
NORM = "gpt_neox.final_layer_norm"
ATTENTION = "{block}.attention"
ROWS: Mapping[str, Row] = {
    "resid": Row("{block}", "in"),
    "q": Row(QKV, "out", grouped(0)),
    "k": Row(QKV, "out", grouped(1)),
    "v": Row(QKV, "out", grouped(2)),
    "q_rot": Row(ATTENTION, "attention", form="heads first", part="query"),
    "k_rot": Row(ATTENTION, "attention", form="heads first", part="key"),
    "z": Row(DENSE, "in"),
    "attn_out": Row(DENSE, "out"),
    "mlp_pre": Row(UP, "out"),
    "mlp_post": Row(DOWN, "in"),
    "mlp_out": Row(DOWN, "out"),
    "pattern": Row(ATTENTION, "attention", part="pattern"),
    "final_norm": Row(NORM, "out"),
    "nll": Row(NORM, "out"),
}
SEQUENTIAL = {**ROWS, "resid_mid": Row("{block}.post_attention_layernorm", "in", edit="attn_out")}


def _read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    return {**config, "rope": read_rope(config, where, fraction=0.25)}


def _write(fields: Fields, modern: bool) -> Mapping[str, Any]:
    found = {name: value for name, value in fields.items() if name != "rope"}
    names = {"theta": "rotary_emb_base", "fraction": "rotary_pct"}
    return {**found, **write_rope(fields["rope"], modern=modern, **names)}


def _finish(fields: dict[str, Any], where: str) -> None:
    check_heads(fields, "hidden_size", "num_attention_heads", where)


def _changes(fields: Fields) -> Mapping[str, Any]:
    return {} if fields["use_parallel_residual"] else {"law": "add", "rows": SEQUENTIAL}


def _geometry(fields: Fields) -> Geometry:
    return Geometry(
        n_layer=fields["num_hidden_layers"],
        n_head=fields["num_attention_heads"],
        d_model=fields["hidden_size"],
        d_head=fields["hidden_size"] // fields["num_attention_heads"],
        d_mlp=fields["intermediate_size"],
        positions=fields["max_position_embeddings"],
        vocabulary=fields["vocab_size"],
    )


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input)."""
    width, hidden = fields["hidden_size"], fields["intermediate_size"]
    linear = {
        "attention.query_key_value": (3 * width, width),
        "attention.dense": (width, width),
        "mlp.dense_h_to_4h": (hidden, width),
        "mlp.dense_4h_to_h": (width, hidden),
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    biased = [name for name in linear if fields["attention_bias"] or name.startswith("mlp.")]
    found: Shapes = {EMBEDDING: (fields["vocab_size"], width)}
    found |= {f"final_layer_norm.{part}": (width,) for part in ("weight", "bias")}
    for layer in range(fields["num_hidden_layers"]):
        block = f"layers.{layer}."
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": linear[name][:1] for name in biased}
        for name in norms:
            found |= {f"{block}{name}.{part}": (width,) for part in ("weight", "bias")}
    if not fields["tie_word_embeddings"]:
        found[HEAD] = found[EMBEDDING]
    return found


def _in_model(own: str) -> str:
    """Return a name in the model: its head is called as others are since version 5."""
    import transformers

    if own == HEAD:
        return HEAD if transformers.__version__.startswith("4.") else "lm_head.weight"
    return f"gpt_neox.{own}"


def _renamed(name: str) -> str:
    return HEAD if name == "lm_head.weight" else name


GPT_NEOX = Family(
    model_type="gpt_neox",
    model_class="GPTNeoXForCausalLM",
    config_class="GPTNeoXConfig",
    base="gpt_neox",
    blocks="gpt_neox.layers",
    last=Row(NORM, "in"),
    law="parallel",
    rows=ROWS,
    config=ConfigRules(
        defaults={
            "attention_bias": True,
            "attention_dropout": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout": 0.0,
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 2048,
            "num_attention_heads": 64,
            "num_hidden_layers": 44,
            "rope": None,
            "tie_word_embeddings": False,
            "use_parallel_residual": True,
            "vocab_size": 50432,
        },
        aliases={},
        ranges={"layer_norm_eps": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=REFUSED,
        dropouts=DROPOUTS,
        finish=_finish,
        kinds={"rope": lambda value: value},
        read=_read,
        write=_write,
    ),
    weights=WeightRules(
        title="GPT-NeoX",
        prefix="gpt_neox.",
        head=HEAD,
        embedding=EMBEDDING,
        #: masks and angles that old checkpoints carry
        ignored=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
        computing=("layers.", "embed_in.", "final_layer_norm.", "embed_out."),
        block=r"layers\.(\d{1,9})\.",
        layers="num_hidden_layers",
        always=(EMBEDDING, "final_layer_norm.weight"),
        shapes=_shapes,
        renamed=_renamed,
        in_model=_in_model,
    ),
    sizes=_geometry,
    changes=_changes,
)
