"""BERT: every token sees all others, and a norm follows each sum.

The encoder alone is read: a store has no use for the heads, and files without one are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actlas.pipeline.models.families.fields import count
from actlas.pipeline.models.family import (
    ConfigRules,
    Family,
    Fields,
    ReadoutRules,
    Row,
    Shapes,
    WeightRules,
)
from actlas.pipeline.models.geometry import Geometry, check_heads
from actlas.store.errors import UsageError

WORDS = "embeddings.word_embeddings.weight"
DROPOUTS = ("attention_probs_dropout_prob", "hidden_dropout_prob")
SELF = "{block}.attention.self"
#: ends of names in files of before 2019
OLD_ENDS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
DEFAULTS: Mapping[str, object] = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
ROWS: Mapping[str, Row] = {
    "resid": Row("{block}", "in"),
    "resid_mid": Row("{block}.attention.output.LayerNorm", "out"),
    "q": Row(f"{SELF}.query", "out"),
    "k": Row(f"{SELF}.key", "out"),
    "v": Row(f"{SELF}.value", "out"),
    "z": Row("{block}.attention.output.dense", "in"),
    "attn_out": Row("{block}.attention.output.dense", "out"),
    "mlp_pre": Row("{block}.intermediate.dense", "out"),
    "mlp_post": Row("{block}.output.dense", "in"),
    "mlp_out": Row("{block}.output.dense", "out"),
    "pattern": Row(SELF, "attention", part="pattern"),
}
#: whose outputs are sites
NORMS = {
    "resid_mid": "{block}.attention.output.LayerNorm",
    "resid": "{block}.output.LayerNorm",
}
REFUSED = ("quantization_config", "pruned_heads", "is_decoder", "add_cross_attention")


def read(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return config.json; raises UsageError for positions that are not learned one by one."""
    kind = config.get("position_embedding_type", "absolute")
    if kind not in ("absolute", None):
        raise UsageError(
            f"{where}: position_embedding_type is {kind!r}, which is not supported: expected "
            "'absolute'"
        )
    return config


def finish(fields: dict[str, Any], where: str) -> None:
    """Raise UsageError for heads that do not fit."""
    check_heads(fields, "hidden_size", "num_attention_heads", where)


def config_rules(own: Mapping[str, object]) -> ConfigRules:
    """Return the rules of an encoder with fields of its ``own``."""
    return ConfigRules(
        defaults={**DEFAULTS, **own},
        aliases={},
        ranges={"layer_norm_eps": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=REFUSED,
        dropouts=DROPOUTS,
        finish=finish,
        kinds={"pad_token_id": count},
        read=read,
    )


def geometry(fields: Fields, reserved: int = 0) -> Geometry:
    """Return the sizes; ``reserved`` positions of the table belong to no token."""
    return Geometry(
        n_layer=fields["num_hidden_layers"],
        n_head=fields["num_attention_heads"],
        d_model=fields["hidden_size"],
        d_head=fields["hidden_size"] // fields["num_attention_heads"],
        d_mlp=fields["intermediate_size"],
        positions=fields["max_position_embeddings"] - reserved,
        vocabulary=fields["vocab_size"],
    )


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input)."""
    width, hidden = fields["hidden_size"], fields["intermediate_size"]
    linear = {
        **{f"attention.self.{name}": (width, width) for name in ("query", "key", "value")},
        "attention.output.dense": (width, width),
        "intermediate.dense": (hidden, width),
        "output.dense": (width, hidden),
    }
    tables = {
        "word": fields["vocab_size"],
        "position": fields["max_position_embeddings"],
        "token_type": fields["type_vocab_size"],
    }
    found: Shapes = {
        f"embeddings.{name}_embeddings.weight": (size, width) for name, size in tables.items()
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(fields["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": shape[:1] for name, shape in linear.items()}
    for name in norms:
        found |= {f"{name}.{part}": (width,) for part in ("weight", "bias")}
    return found


def _renamed(name: str) -> str:
    for old, new in OLD_ENDS.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def encoder(model_type: str, classes: str, config: ConfigRules, title: str, **more: Any) -> Family:
    """Return a family of which ``classes`` begins the names of transformers' classes."""
    return Family(
        model_type=model_type,
        model_class=f"{classes}Model",
        config_class=f"{classes}Config",
        base="",
        blocks="encoder.layer",
        last=Row("{block}", "out"),
        law="post",
        rows=ROWS,
        config=config,
        weights=WeightRules(
            title=title,
            prefix=f"{model_type}.",
            head="",
            embedding=WORDS,
            ignored=("embeddings.position_ids", "embeddings.token_type_ids"),
            computing=("embeddings.", "encoder."),
            block=r"encoder\.layer\.(\d{1,9})\.",
            layers="num_hidden_layers",
            always=(WORDS,),
            shapes=_shapes,
            renamed=_renamed,
            in_model=str,
        ),
        causal=False,
        norms=NORMS,
        arguments={"add_pooling_layer": False},
        **more,
    )


_HEAD = ReadoutRules(
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    bias="cls.predictions.bias",
    decoder="cls.predictions.decoder.weight",
    activation="hidden_act",
)

BERT = encoder("bert", "Bert", config_rules({}), "BERT", sizes=geometry, readout=_HEAD)
