"""GPT-J: attention and MLP read one input; the first columns of each head are turned in pairs."""

from __future__ import annotations

from typing import Any

from actlas.pipeline.models.families.fields import REFUSED, size_or_none
from actlas.pipeline.models.family import ConfigRules, Family, Fields, Row, Shapes, WeightRules
from actlas.pipeline.models.geometry import Geometry, check_heads
from actlas.store.errors import UsageError

EMBEDDING, HEAD = "wte.weight", "lm_head.weight"
DROPOUTS = ("attn_pdrop", "embd_pdrop", "resid_pdrop")


def _finish(fields: dict[str, Any], where: str) -> None:
    width, heads = fields["n_embd"], fields["n_head"]
    check_heads(fields, "n_embd", "n_head", where)
    size, turned = width // heads, fields["rotary_dim"]
    fields["rotary_dim"] = turned = size if turned is None else turned
    if turned > size or turned % 2:
        raise UsageError(
            f"{where}: rotary_dim is {turned}, expected an even number up to {size}, the size of a "
            "head"
        )
    if fields["tie_word_embeddings"]:
        raise UsageError(
            f"{where}: tie_word_embeddings is true, expected false for a head with bias"
        )
    fields["n_inner"] = fields["n_inner"] or 4 * width


def _geometry(fields: Fields) -> Geometry:
    return Geometry(
        n_layer=fields["n_layer"],
        n_head=fields["n_head"],
        d_model=fields["n_embd"],
        d_head=fields["n_embd"] // fields["n_head"],
        d_mlp=fields["n_inner"],
        positions=fields["n_positions"],
        vocabulary=fields["vocab_size"],
    )


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor; matrices are (output, input)."""
    width, hidden, words = fields["n_embd"], fields["n_inner"], fields["vocab_size"]
    found: Shapes = {EMBEDDING: (words, width), HEAD: (words, width), "lm_head.bias": (words,)}
    norms = ["ln_f"]
    for layer in range(fields["n_layer"]):
        block = f"h.{layer}."
        norms.append(f"{block}ln_1")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found[f"{block}attn.{name}.weight"] = (width, width)
        found[f"{block}mlp.fc_in.weight"] = (hidden, width)
        found[f"{block}mlp.fc_in.bias"] = (hidden,)
        found[f"{block}mlp.fc_out.weight"] = (width, hidden)
        found[f"{block}mlp.fc_out.bias"] = (width,)
    for name in norms:
        found |= {f"{name}.{part}": (width,) for part in ("weight", "bias")}
    return found


GPTJ = Family(
    model_type="gptj",
    model_class="GPTJForCausalLM",
    config_class="GPTJConfig",
    base="transformer",
    blocks="transformer.h",
    last=Row("transformer.ln_f", "in"),
    law="parallel",
    rows={
        "resid": Row("{block}", "in"),
        "q": Row("{block}.attn.q_proj", "out"),
        "k": Row("{block}.attn.k_proj", "out"),
        "v": Row("{block}.attn.v_proj", "out"),
        "q_rot": Row("{block}.attn", "attention", form="heads first", part="query"),
        "k_rot": Row("{block}.attn", "attention", form="heads first", part="key"),
        "z": Row("{block}.attn.out_proj", "in"),
        "attn_out": Row("{block}.attn.out_proj", "out"),
        "mlp_pre": Row("{block}.mlp.fc_in", "out"),
        "mlp_post": Row("{block}.mlp.fc_out", "in"),
        "mlp_out": Row("{block}.mlp.fc_out", "out"),
        "pattern": Row("{block}.attn", "attention", part="pattern"),
        "final_norm": Row("transformer.ln_f", "out"),
        "nll": Row("transformer.ln_f", "out"),
    },
    config=ConfigRules(
        defaults={
            "activation_function": "gelu_new",
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "layer_norm_epsilon": 1e-5,
            "n_embd": 4096,
            "n_head": 16,
            "n_inner": None,
            "n_layer": 28,
            "n_positions": 2048,
            "resid_pdrop": 0.0,
            "rotary_dim": 64,
            "tie_word_embeddings": False,
            "vocab_size": 50400,
        },
        aliases={
            "hidden_size": "n_embd",
            "max_position_embeddings": "n_positions",
            "num_attention_heads": "n_head",
            "num_hidden_layers": "n_layer",
        },
        ranges={"layer_norm_epsilon": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=REFUSED,
        dropouts=DROPOUTS,
        finish=_finish,
        kinds={"rotary_dim": size_or_none},
    ),
    weights=WeightRules(
        title="GPT-J",
        prefix="transformer.",
        head=HEAD,
        embedding=EMBEDDING,
        ignored=(".attn.bias", ".attn.masked_bias", ".attn.embed_positions"),
        computing=("h.", "wte.", "ln_f.", "lm_head."),
        block=r"h\.(\d{1,9})\.",
        layers="n_layer",
        always=("wte.weight", "ln_f.weight"),
        shapes=_shapes,
    ),
    sizes=_geometry,
    attention="eager",
)
