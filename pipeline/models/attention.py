"""What the installed transformers computes as attention, against what config.json says, before a model is loaded.

Until March 2026, transformers' sdpa left ``scale_attn_weights`` and ``scale_attn_by_inverse_layer_idx`` out
(huggingface/transformers#44380, mended by #44397). So two small blocks are run and compared with the
formula: what a version does counts, not its number.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actlas.pipeline.models.configuration import transformers_config
from actlas.store.errors import UsageError

if TYPE_CHECKING:
    import torch

HEADS, WIDTH, TOKENS = 2, 6, 5
SCALES = ("scale_attn_weights", "scale_attn_by_inverse_layer_idx")
TOLERANCE = 1e-4  # relative, float32; a factor that is left out changes the first digit


def check_attention(fields: Mapping[str, Any], attention: str, dtype: torch.dtype) -> None:
    """Raise UsageError unless ``attention`` of the installed transformers follows the effective ``fields``."""
    import torch

    version = importlib.metadata.version("transformers")
    if fields["reorder_and_upcast_attn"] and attention != "eager" and dtype != torch.float32:
        raise UsageError(
            f"config.json: reorder_and_upcast_attn is true, which {attention} attention leaves out: "
            "use --attention eager, or --dtype float32"
        )
    if not _follows(fields, attention):
        values = ", ".join(f"{name} {str(fields[name]).lower()}" for name in SCALES)
        hint = (
            ": use --attention eager"
            if attention != "eager" and _follows(fields, "eager")
            else ": install another"
        )
        raise UsageError(
            f"config.json says {values}, which {attention} attention of transformers {version} does not follow{hint}"
        )


def _follows(fields: Mapping[str, Any], attention: str) -> bool:
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
    config = transformers_config({**sizes, **kept}, attention)
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


def _expected(fused: torch.Tensor, layer: int, fields: Mapping[str, Any]) -> torch.Tensor:
    """Return what goes into ``c_proj``, (token, d_model), for queries, keys and values ``fused`` (token, 3 · d_model)."""
    import torch

    q, k, v = fused.view(TOKENS, 3, HEADS, WIDTH // HEADS).permute(
        1, 2, 0, 3
    )  # each (head, token, d_head)
    scores = q @ k.transpose(-1, -2)  # (head, query, key)
    if fields["scale_attn_weights"]:
        scores = scores / (WIDTH // HEADS) ** 0.5
    if fields["scale_attn_by_inverse_layer_idx"]:
        scores = scores / (layer + 1)
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(-1)
    mixed: torch.Tensor = weights @ v  # (head, token, d_head)
    return mixed.transpose(0, 1).reshape(TOKENS, WIDTH)
