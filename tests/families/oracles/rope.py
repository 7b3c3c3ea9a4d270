"""Rotary positions: the frequencies of each kind of scaling, and both ways to pair columns."""

import math

import numpy as np


def parameters(config, layer_type="full_attention"):
    """Return {rope_type, rope_theta, partial_rotary_factor, …}, from either spelling.

    transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters. Gemma 3 has a
    base of its own for its sliding layers, and scales only the others.
    """
    if "rope_parameters" in config:
        rope = config["rope_parameters"]
        return {"rope_type": "default", **rope.get(layer_type, rope)}
    if config["model_type"] == "gemma3_text" and layer_type == "sliding_attention":
        return {"rope_type": "default", "rope_theta": config.get("rope_local_base_freq", 10_000.0)}
    neox, gemma = config["model_type"] == "gpt_neox", config["model_type"] == "gemma3_text"
    rope = dict(config.get("rope_scaling") or {})
    rope["rope_type"] = rope.get("rope_type", rope.get("type", "default"))
    if neox:
        rope["rope_theta"] = config.get("rotary_emb_base", 10_000)
        rope["partial_rotary_factor"] = config.get("rotary_pct", 0.25)
    else:
        rope["rope_theta"] = config.get("rope_theta", 1_000_000.0 if gemma else 10_000.0)
        rope["partial_rotary_factor"] = config.get("partial_rotary_factor", 1.0)
    return rope


def angles(config, d_head, tokens, layer_type="full_attention"):
    """Return the angles (token, pair), and the factor of the rotated values."""
    rope = parameters(config, layer_type)
    width = int(d_head * rope.get("partial_rotary_factor", 1.0))
    plain = rope["rope_theta"] ** (-np.arange(0, width, 2) / width)
    frequencies, factor = SCALINGS[rope["rope_type"]](plain, rope, config, tokens)
    return np.arange(tokens)[:, None] * frequencies, factor


def halves(x, theta, factor=1.0):
    """Rotate column i with column i + width/2; x: (token, head, d_head), theta: (token, pair)."""
    pairs = theta.shape[-1]
    first, second, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    cos, sin = factor * np.cos(theta)[:, None], factor * np.sin(theta)[:, None]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def neighbours(x, theta):
    """Rotate column 2i with column 2i + 1, as GPT-J does; shapes as in ``halves``."""
    rotated = x.copy()
    width = 2 * theta.shape[-1]
    first, second = x[..., 0:width:2], x[..., 1:width:2]
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    rotated[..., 0:width:2] = first * cos - second * sin
    rotated[..., 1:width:2] = second * cos + first * sin
    return rotated


def _default(plain, _rope, _config, _tokens):
    return plain, 1.0


def _linear(plain, rope, _config, _tokens):
    return plain / rope["factor"], 1.0


def _llama3(plain, rope, _config, _tokens):
    """Llama 3.1: long waves are stretched, short ones kept, and those between interpolated."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * plain / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return plain * (kept + (1 - kept) / rope["factor"]), 1.0


def _yarn(plain, rope, config, _tokens):
    """Peng et al. 2023, sections 3.2 and 3.4."""
    original = rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
    width, factor = 2 * len(plain), rope["factor"]

    def column(turns):
        return width * math.log(original / (turns * 2 * np.pi)) / (2 * math.log(rope["rope_theta"]))

    first = max(math.floor(column(rope.get("beta_fast") or 32)), 0)
    last = min(math.ceil(column(rope.get("beta_slow") or 1)), width - 1)
    stretched = np.clip((np.arange(len(plain)) - first) / max(last - first, 0.001), 0, 1)
    scaled = plain * (1 - stretched + stretched / factor)
    return scaled, rope.get("attention_factor") or 0.1 * math.log(factor) + 1


def _longrope(plain, rope, config, tokens):
    """Ding et al. 2024: one divisor for each pair, others beyond the original length."""
    original = config["original_max_position_embeddings"]
    divisors = rope["long_factor" if tokens > original else "short_factor"]
    longer = config["max_position_embeddings"] / original
    factor = math.sqrt(1 + math.log(longer) / math.log(original)) if longer > 1 else 1.0
    return plain / np.asarray(divisors), rope.get("attention_factor") or factor


SCALINGS = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
