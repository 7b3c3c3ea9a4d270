"""Llama, and what descends from it: RMS norms, rotary positions, gated MLPs."""

import numpy as np

from tests.families.oracles import rope
from tests.families.oracles.attention import attend, causal
from tests.oracle import ACTIVATIONS

GEMMAS = ("gemma", "gemma2", "gemma3_text")
LATER_GEMMAS = ("gemma2", "gemma3_text")
POST_NORMED = (*LATER_GEMMAS, "olmo2")
TYPES = ("llama", "mistral", "qwen2", "qwen3", *GEMMAS, "phi3", "olmo2")


class Config:
    """What a block reads from config.json."""

    def __init__(self, config):
        self.raw, self.type = config, config["model_type"]
        self.d_model, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.d_head = config.get("head_dim") or self.d_model // self.heads
        self.layers = config["num_hidden_layers"]
        self.epsilon = config.get("rms_norm_eps", 1e-5 if self.type == "phi3" else 1e-6)
        self.offset = 1.0 if self.type in GEMMAS else 0.0
        scalar = config.get("query_pre_attn_scalar") or self.d_head
        self.scale = (scalar if self.type in LATER_GEMMAS else self.d_head) ** -0.5
        # Gemma 3 has the field too, and no use for it
        self.cap = config.get("attn_logit_softcapping") if self.type == "gemma2" else None
        self.activation = ACTIVATIONS[self._activation()]

    def _activation(self):
        if self.type in LATER_GEMMAS:
            return self.raw.get("hidden_activation", "gelu_pytorch_tanh")
        if self.type != "gemma":
            return self.raw.get("hidden_act", "silu")
        name = self.raw.get("hidden_act", "gelu_pytorch_tanh")
        return (
            "gelu_pytorch_tanh" if name == "gelu" else name
        )  # the first files say gelu, mean this

    def layer_type(self, layer):
        """Return "sliding_attention" or "full_attention"."""
        return "sliding_attention" if self._slides(layer) else "full_attention"

    def _slides(self, layer):
        raw = self.raw
        if raw.get("layer_types"):
            return raw["layer_types"][layer] == "sliding_attention"
        if self.type in ("mistral", "phi3"):
            return raw.get("sliding_window") is not None
        if self.type in ("qwen2", "qwen3"):
            return bool(raw.get("use_sliding_window")) and layer >= raw["max_window_layers"]
        every = {"gemma2": 2, "gemma3_text": raw.get("sliding_window_pattern", 6)}.get(self.type, 1)
        return (layer + 1) % every != 0

    def window(self, layer):
        return self.raw["sliding_window"] if self._slides(layer) else None


def gated(config, w, token_ids, note):
    """Run one sentence; return the logits (token, vocabulary)."""
    c = Config(config)
    embedded = w["embed_tokens.weight"][token_ids]
    x = note("resid", 0, embedded * np.sqrt(c.d_model) if c.type in GEMMAS else embedded)
    for layer in range(c.layers):
        x = note("resid", layer + 1, block(c, w.at(f"layers.{layer}"), layer, x, note))
    final = note("final_norm", None, w.rms_norm("norm", x, c.epsilon, c.offset))
    tied = config.get("tie_word_embeddings", c.type in GEMMAS)
    logits = final @ w["embed_tokens.weight" if tied else "lm_head.weight"].T
    cap = config.get("final_logit_softcapping")
    return note("logits", None, cap * np.tanh(logits / cap) if cap else logits)


def block(c, w, layer, x, note):
    def norm(name, x):
        return w.rms_norm(name, x, c.epsilon, c.offset)

    pre, post = c.type != "olmo2", c.type in POST_NORMED
    given = norm("input_layernorm", x) if pre else x
    z = attention(c, w.at("self_attn"), layer, given, note)
    attn_out = w.linear("self_attn.o_proj", z.reshape(len(x), -1))
    attn_out = norm("post_attention_layernorm", attn_out) if post else attn_out
    mid = note("resid_mid", layer, x + note("attn_out", layer, attn_out))
    before = "pre_feedforward_layernorm" if post else "post_attention_layernorm"
    mlp_out = mlp(c, w.at("mlp"), layer, norm(before, mid) if pre else mid, note)
    mlp_out = norm("post_feedforward_layernorm", mlp_out) if post else mlp_out
    return mid + note("mlp_out", layer, mlp_out)


def attention(c, w, layer, x, note):
    """Return z (token, head, d_head)."""
    widths = np.array([c.heads, c.kv_heads, c.kv_heads]) * c.d_head
    if c.type == "phi3":
        parts = np.split(w.linear("qkv_proj", x), np.cumsum(widths)[:-1], axis=-1)
    else:
        parts = [w.linear(f"{name}_proj", x) for name in "qkv"]
    found = {}
    for name, part in zip("qkv", parts, strict=True):
        found[name] = note(name, layer, part.reshape(len(x), -1, c.d_head))
    theta, factor = rope.angles(c.raw, c.d_head, len(x), c.layer_type(layer))
    for name in "qk":
        if f"{name}_norm.weight" in w:
            heads = found[name]
            given = heads.reshape(len(x), -1) if c.type == "olmo2" else heads  # over all heads
            normed = w.rms_norm(f"{name}_norm", given, c.epsilon, c.offset)
            found[name] = note(f"{name}_normed", layer, normed.reshape(heads.shape))
        found[name] = note(f"{name}_rot", layer, rope.halves(found[name], theta, factor))
    seen = causal(len(x), c.window(layer))
    return attend(note, layer, *found.values(), seen, c.scale, c.cap)


def mlp(c, w, layer, x, note):
    if c.type == "phi3":
        gate, up = np.split(w.linear("gate_up_proj", x), 2, axis=-1)
    else:
        gate, up = w.linear("gate_proj", x), w.linear("up_proj", x)
    gate, up = note("mlp_pre", layer, gate), note("mlp_up", layer, up)
    return w.linear("down_proj", note("mlp_post", layer, c.activation(gate) * up))
