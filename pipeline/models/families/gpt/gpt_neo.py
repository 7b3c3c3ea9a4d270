"""GPT-Neo, as TinyStories: layers that see all before and layers that see a window take turns.

Scores are not scaled. Its attention has an implementation of its own, which hands out the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import REFUSED
from actlas.pipeline.models.family import ConfigRules, Family, Fields, Row, Shapes, WeightRules
from actlas.pipeline.models.geometry import Geometry, check_heads
from actlas.store.errors import UsageError

EMBEDDING, HEAD = "wte.weight", "lm_head.weight"
DROPOUTS = ("attention_dropout", "embed_dropout", "resid_dropout")
KINDS_OF_LAYERS = ("global", "local")
ATTENTION = "{block}.attn.attention"


def _read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return config.json with the kind of each layer, from either of the fields that say it."""
    pairs, listed = config.get("attention_types"), config.get("attention_layers")
    if pairs is None:
        pairs = [[["global", "local"], 12]] if listed is None else [[listed, 1]]
    try:
        layers = [
            kind for kinds, times in pairs for _ in range(min(times, 1 << 16)) for kind in kinds
        ]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: attention_types is no list of pairs of kinds and how often they are repeated"
        ) from error
    if listed is not None and listed != layers:
        raise UsageError(f"{where}: attention_types and attention_layers disagree")
    return {**config, "attention_layers": layers}


def _kinds(value: Any) -> Any:
    if isinstance(value, list) and all(kind in KINDS_OF_LAYERS for kind in value):
        return value
    raise ValueError("a list of global and local")


def _write(fields: Fields, _modern: bool) -> Mapping[str, Any]:
    found = {name: value for name, value in fields.items() if name != "attention_layers"}
    return {**found, "attention_types": [[fields["attention_layers"], 1]]}


def _finish(fields: dict[str, Any], where: str) -> None:
    width, layers = fields["hidden_size"], fields["num_layers"]
    check_heads(fields, "hidden_size", "num_heads", where)
    if len(fields["attention_layers"]) != layers:
        raise UsageError(
            f"{where}: attention_types gives {len(fields['attention_layers'])} layers, "
            f"expected {layers} (num_layers)"
        )
    fields["intermediate_size"] = fields["intermediate_size"] or 4 * width


def _geometry(fields: Fields) -> Geometry:
    return Geometry(
        n_layer=fields["num_layers"],
        n_head=fields["num_heads"],
        d_model=fields["hidden_size"],
        d_head=fields["hidden_size"] // fields["num_heads"],
        d_mlp=fields["intermediate_size"],
        positions=fields["max_position_embeddings"],
        vocabulary=fields["vocab_size"],
    )


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input)."""
    width, hidden = fields["hidden_size"], fields["intermediate_size"]
    linear = {
        **{f"attn.attention.{name}": (width, width) for name in ("q_proj", "k_proj", "v_proj")},
        "attn.attention.out_proj": (width, width),
        "mlp.c_fc": (hidden, width),
        "mlp.c_proj": (width, hidden),
    }
    biased = ("attn.attention.out_proj", "mlp.c_fc", "mlp.c_proj")
    found: Shapes = {
        EMBEDDING: (fields["vocab_size"], width),
        "wpe.weight": (fields["max_position_embeddings"], width),
    }
    norms = ["ln_f"]
    for layer in range(fields["num_layers"]):
        block = f"h.{layer}."
        norms += [f"{block}ln_1", f"{block}ln_2"]
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": linear[name][:1] for name in biased}
    for name in norms:
        found |= {f"{name}.{part}": (width,) for part in ("weight", "bias")}
    if not fields["tie_word_embeddings"]:
        found[HEAD] = found[EMBEDDING]
    return found


GPT_NEO = Family(
    model_type="gpt_neo",
    model_class="GPTNeoForCausalLM",
    config_class="GPTNeoConfig",
    base="transformer",
    blocks="transformer.h",
    last=Row("transformer.ln_f", "in"),
    law="add",
    rows={
        "resid": Row("{block}", "in"),
        "resid_mid": Row("{block}.ln_2", "in", edit="attn_out"),
        "q": Row(f"{ATTENTION}.q_proj", "out"),
        "k": Row(f"{ATTENTION}.k_proj", "out"),
        "v": Row(f"{ATTENTION}.v_proj", "out"),
        "z": Row(f"{ATTENTION}.out_proj", "in"),
        "attn_out": Row(f"{ATTENTION}.out_proj", "out"),
        "mlp_pre": Row("{block}.mlp.c_fc", "out"),
        "mlp_post": Row("{block}.mlp.c_proj", "in"),
        "mlp_out": Row("{block}.mlp.c_proj", "out"),
        "pattern": Row(ATTENTION, "attention", part="pattern"),
        "final_norm": Row("transformer.ln_f", "out"),
        "nll": Row("transformer.ln_f", "out"),
    },
    config=ConfigRules(
        defaults={
            "activation_function": "gelu_new",
            "attention_dropout": 0.0,
            "attention_layers": None,
            "embed_dropout": 0.0,
            "hidden_size": 2048,
            "intermediate_size": None,
            "layer_norm_epsilon": 1e-5,
            "max_position_embeddings": 2048,
            "num_heads": 16,
            "num_layers": 24,
            "resid_dropout": 0.0,
            "tie_word_embeddings": True,
            "vocab_size": 50257,
            "window_size": 256,
        },
        aliases={"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"},
        ranges={"layer_norm_epsilon": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=REFUSED,
        dropouts=DROPOUTS,
        finish=_finish,
        kinds={"attention_layers": _kinds},
        read=_read,
        write=_write,
    ),
    weights=WeightRules(
        title="GPT-Neo",
        prefix="transformer.",
        head=HEAD,
        embedding=EMBEDDING,
        ignored=(".attn.attention.bias", ".attn.attention.masked_bias"),
        computing=("h.", "wte.", "wpe.", "ln_f.", "lm_head."),
        block=r"h\.(\d{1,9})\.",
        layers="num_layers",
        always=("wpe.weight", "ln_f.weight"),
        shapes=_shapes,
    ),
    sizes=_geometry,
    attention="eager",
)
