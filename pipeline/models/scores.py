"""How attention scores its keys, as a run records it: scale, cap, windows, rotary positions.

With these, weights of attention follow from stored queries and keys, without the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.family import Fields
from actlas.pipeline.models.geometry import Geometry

Floats = npt.NDArray[np.float64]
SLIDING = ("sliding_attention", "local")
#: parameters of yarn that change its formula in ways that differ between versions of transformers
UNDECIDED = ("mscale", "mscale_all_dim", "truncate")


def score_facts(fields: Fields, architecture: Architecture) -> dict[str, Any]:
    """Return what a run's record says of attention.

    ``scale`` of the scores by layer; ``cap`` of the scaled scores, None without; ``window`` by
    layer: how many tokens a query sees, itself among them, None for all; ``rotary``: how queries
    and keys are turned by their positions, None where they are not.
    """
    geometry = architecture.geometry
    layers = range(geometry.n_layer)
    return {
        "scale": [_scale(fields, geometry, layer) for layer in layers],
        "cap": fields.get("attn_logit_softcapping"),
        "window": [_window(fields, layer) for layer in layers],
        "rotary": _rotary(fields, architecture),
    }


def _rotary(fields: Fields, architecture: Architecture) -> dict[str, Any] | None:
    """Return how heads are turned: position · frequency is the angle of a pair of columns.

    ``pairs``: ``halves``, column i with i + width/2, or ``neighbours``, 2i with 2i + 1.
    ``frequencies``: lists, None where a formula is not decided; ``factor`` of each, which
    multiplies what is turned; ``of_layer``: which of them a layer has. ``normed``: whether a norm
    comes before, so that what is turned is ``q_normed``.
    """
    width = architecture.geometry.d_head
    kinds: list[tuple[Floats | None, float]]
    if "rotary_dim" in fields:
        pairs = "neighbours"
        kinds = [(_plain(10_000.0, fields["rotary_dim"]), 1.0)]
    elif "rope" in fields:
        ropes = [fields[name] for name in ("rope", "rope_local") if name in fields]
        kinds, pairs = [_frequencies(rope, width) for rope in ropes], "halves"
    else:
        return None
    local = len(kinds) > 1
    windows = [_window(fields, layer) for layer in range(architecture.geometry.n_layer)]
    return {
        "pairs": pairs,
        "frequencies": [None if each is None else each.tolist() for each, _ in kinds],
        "factor": [factor for _, factor in kinds],
        "of_layer": [int(local and window is not None) for window in windows],
        "normed": "q_normed" in architecture.family.rows,
    }


def _plain(theta: float, width: int) -> Floats:
    found: Floats = theta ** (-np.arange(0, width, 2) / width)
    return found


def _frequencies(rope: Mapping[str, Any], width: int) -> tuple[Floats | None, float]:
    """Return frequencies of the pairs of columns, and the factor of what is turned."""
    kind = rope["type"]
    plain = _plain(rope["theta"], int(width * rope["fraction"]))
    if kind == "linear":
        return plain / rope["factor"], 1.0
    if kind == "llama3":
        return _llama3(plain, rope), 1.0
    if kind == "yarn":
        return _yarn(plain, rope)
    return plain, 1.0


def _llama3(plain: Floats, rope: Mapping[str, Any]) -> Floats:
    """Return frequencies as of Llama 3.1: long waves are stretched, short ones kept."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * plain / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    found: Floats = plain * (kept + (1 - kept) / rope["factor"])
    return found


def _yarn(plain: Floats, rope: Mapping[str, Any]) -> tuple[Floats | None, float]:
    """Return frequencies and factor after Peng et al. 2023, sections 3.2 and 3.4."""
    if any(rope.get(name) is not None for name in UNDECIDED):
        return None, 1.0
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    width = 2 * len(plain)

    def column(turns: float) -> float:
        return width * math.log(original / (turns * 2 * np.pi)) / (2 * math.log(rope["theta"]))

    first = max(math.floor(column(rope.get("beta_fast") or 32)), 0)
    last = min(math.ceil(column(rope.get("beta_slow") or 1)), width - 1)
    stretched = np.clip((np.arange(len(plain)) - first) / max(last - first, 0.001), 0, 1)
    scaled: Floats = plain * (1 - stretched + stretched / factor)
    return scaled, float(rope.get("attention_factor") or 0.1 * math.log(factor) + 1)


def _scale(fields: Fields, geometry: Geometry, layer: int) -> float:
    plain = float(geometry.d_head**-0.5)
    if "query_pre_attn_scalar" in fields:
        return float(fields["query_pre_attn_scalar"] ** -0.5)
    if "attention_layers" in fields or not fields.get("scale_attn_weights", True):
        plain = 1.0
    return plain / (layer + 1) if fields.get("scale_attn_by_inverse_layer_idx") else plain


def _window(fields: Fields, layer: int) -> int | None:
    kinds = fields.get("layer_types") or fields.get("attention_layers")
    if kinds is not None and kinds[layer] not in SLIDING:
        return None
    size = fields.get("sliding_window", fields.get("window_size"))
    return None if size is None else int(size)
