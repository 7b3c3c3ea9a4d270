"""GPT-2: its sites, the fields of its configuration, its weights, its attention.

Until March 2026, sdpa of transformers left ``scale_attn_weights`` and
``scale_attn_by_inverse_layer_idx`` out (huggingface/transformers#44380, fixed by #44397). So two
small blocks are run before a model is loaded, and compared with the formula: what a version does
counts, not its number.
"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

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
from actlas.pipeline.models.picks import fused
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch

HEADS, WIDTH, TOKENS = 2, 6, 5  # of the small blocks
SCALES = ("scale_attn_weights", "scale_attn_by_inverse_layer_idx")
TOLERANCE = 1e-4  # relative, float32; a factor that is left out changes the first digit
DROPOUTS = ("attn_pdrop", "embd_pdrop", "resid_pdrop")
EMBEDDING, HEAD = "wte.weight", "lm_head.weight"


def _geometry(fields: Fields) -> Geometry:
    d_model, n_head = fields["n_embd"], fields["n_head"]
    return Geometry(
        n_layer=fields["n_layer"],
        n_head=n_head,
        d_model=d_model,
        d_head=d_model // n_head,
        d_mlp=fields["n_inner"] or 4 * d_model,
        positions=fields["n_positions"],
        vocabulary=fields["vocab_size"],
    )


def _finish(fields: dict[str, Any], where: str) -> None:
    check_heads(fields, "n_embd", "n_head", where)
    if fields["n_inner"] == 4 * fields["n_embd"]:
        fields["n_inner"] = None  # written out or not, it is the same model


def _shapes(fields: Fields) -> Shapes:
    """Return name → shape of every tensor a model needs; matrices are (input, output)."""
    width = fields["n_embd"]
    hidden = fields["n_inner"] or 4 * width
    shapes: Shapes = {
        EMBEDDING: (fields["vocab_size"], width),
        "wpe.weight": (fields["n_positions"], width),
        **_norm("ln_f", width),
    }
    for layer in range(fields["n_layer"]):
        shapes |= _norm(f"h.{layer}.ln_1", width) | _norm(f"h.{layer}.ln_2", width)
        shapes |= _linear(f"h.{layer}.attn.c_attn", width, 3 * width)
        shapes |= _linear(f"h.{layer}.attn.c_proj", width, width)
        shapes |= _linear(f"h.{layer}.mlp.c_fc", width, hidden)
        shapes |= _linear(f"h.{layer}.mlp.c_proj", hidden, width)
    if not fields["tie_word_embeddings"]:
        shapes[HEAD] = shapes[EMBEDDING]
    return shapes


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}


def check_attention(fields: Fields, attention: str, dtype: torch.dtype) -> None:
    """Raise UsageError.

    Unless ``attention`` of the installed transformers follows the effective ``fields``.
    """
    import torch

    if fields["reorder_and_upcast_attn"] and attention != "eager" and dtype != torch.float32:
        raise UsageError(
            f"config.json: reorder_and_upcast_attn is true, which {attention} attention leaves "
            f"out: "
            "use --attention eager, or --dtype float32"
        )
    if _follows(fields, attention):
        return
    version = importlib.metadata.version("transformers")
    values = ", ".join(f"{name} {str(fields[name]).lower()}" for name in SCALES)
    eager = attention != "eager" and _follows(fields, "eager")
    raise UsageError(
        f"config.json says {values}, which {attention} attention of transformers {version} "
        f"does not follow: {'use --attention eager' if eager else 'install another'}"
    )


def _follows(fields: Fields, attention: str) -> bool:
    """Whether both of two small blocks weigh values as the formula says."""
    import torch
    from transformers import GPT2Model

    kept = {name: fields[name] for name in (*SCALES, "reorder_and_upcast_attn")}
    sizes = {
        "n_layer": 2,
        "n_head": HEADS,
        "n_embd": WIDTH,
        "n_positions": TOKENS,
        "vocab_size": TOKENS,
        "n_inner": 1,
    }
    config: Any = GPT2.configuration({**sizes, **kept}, attention)
    found: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng([]), torch.inference_mode(), torch.device("cpu"):
        torch.manual_seed(0)
        model = GPT2Model(config).float().eval()
        for parameter in model.parameters():
            parameter.normal_()
        for layer, block in enumerate(model.h):
            block.attn.c_attn.register_forward_hook(_keeper(found, f"in {layer}", output=True))
            block.attn.c_proj.register_forward_pre_hook(
                _keeper(found, f"out {layer}", output=False)
            )
        model(input_ids=torch.arange(TOKENS)[None], use_cache=False)
        for layer in range(len(model.h)):
            expected = _expected(found[f"in {layer}"][0], layer, fields)
            if not torch.allclose(
                found[f"out {layer}"][0], expected, rtol=TOLERANCE, atol=TOLERANCE
            ):
                return False
    return True


def _keeper(found: dict[str, torch.Tensor], key: str, *, output: bool) -> Any:
    def keep(_module: object, given: tuple[Any, ...], result: Any = None) -> None:
        found[key] = result if output else given[0]

    return keep


def _expected(fused: torch.Tensor, layer: int, fields: Fields) -> torch.Tensor:
    """Return what goes into ``c_proj``, (token, d_model).

    fused: queries, keys and values, (token, 3 · d_model).
    """
    import torch

    split = fused.view(TOKENS, 3, HEADS, WIDTH // HEADS)
    q, k, v = split.permute(1, 2, 0, 3)  # each (head, token, d_head)
    scores = q @ k.transpose(-1, -2)  # (head, query, key)
    if fields["scale_attn_weights"]:
        scores = scores / (WIDTH // HEADS) ** 0.5
    if fields["scale_attn_by_inverse_layer_idx"]:
        scores = scores / (layer + 1)
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(-1)
    mixed: torch.Tensor = weights @ v  # (head, token, d_head)
    return mixed.transpose(0, 1).reshape(TOKENS, WIDTH)


GPT2 = Family(
    model_type="gpt2",
    model_class="GPT2LMHeadModel",
    config_class="GPT2Config",
    base="transformer",
    blocks="transformer.h",
    last=Row("transformer.ln_f", "in"),
    law="add",
    rows={
        "resid": Row("{block}", "in"),
        "resid_mid": Row("{block}.ln_2", "in", edit="attn_out"),
        "q": Row("{block}.attn.c_attn", "out", fused(0)),
        "k": Row("{block}.attn.c_attn", "out", fused(1)),
        "v": Row("{block}.attn.c_attn", "out", fused(2)),
        "z": Row("{block}.attn.c_proj", "in"),
        "attn_out": Row("{block}.attn.c_proj", "out"),
        "mlp_pre": Row("{block}.mlp.c_fc", "out"),
        "mlp_post": Row("{block}.mlp.c_proj", "in"),
        "mlp_out": Row("{block}.mlp.c_proj", "out"),
        "pattern": Row("{block}.attn", "attention", part="pattern"),
        "final_norm": Row("transformer.ln_f", "out"),
        "nll": Row("transformer.ln_f", "out"),
    },
    config=ConfigRules(
        defaults={
            "activation_function": "gelu_new",
            "attn_pdrop": 0.1,
            "embd_pdrop": 0.1,
            "layer_norm_epsilon": 1e-5,
            "n_embd": 768,
            "n_head": 12,
            "n_inner": None,
            "n_layer": 12,
            "n_positions": 1024,
            "reorder_and_upcast_attn": False,
            "resid_pdrop": 0.1,
            "scale_attn_by_inverse_layer_idx": False,
            "scale_attn_weights": True,
            "tie_word_embeddings": True,
            "vocab_size": 50257,
        },
        aliases={
            "hidden_size": "n_embd",
            "max_position_embeddings": "n_positions",
            "num_attention_heads": "n_head",
            "num_hidden_layers": "n_layer",
        },
        ranges={"layer_norm_epsilon": (0.0, 1.0), **dict.fromkeys(DROPOUTS, (0.0, 1.0))},
        refused=("pruned_heads", "quantization_config"),  # they change the weights themselves
        dropouts=DROPOUTS,
        finish=_finish,
    ),
    weights=WeightRules(
        title="GPT-2",
        prefix="transformer.",
        head=HEAD,
        embedding=EMBEDDING,
        ignored=(".attn.bias", ".attn.masked_bias"),  # causal masks that old checkpoints carry
        computing=("h.", "wte.", "wpe.", "ln_f.", "lm_head."),
        block=r"h\.(\d{1,9})\.",
        layers="n_layer",
        always=("wpe.weight", "ln_f.weight"),
        shapes=_shapes,
    ),
    sizes=_geometry,
    check_attention=check_attention,
    readout=ReadoutRules(inputs_first=True),
)
