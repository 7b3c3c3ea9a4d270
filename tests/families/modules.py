"""Where plain hooks find the sites in transformers' modules: a table for the tests alone."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Place:
    """The input or output of a module of one block, or columns of it, split by head."""

    module: str
    side: str = "out"
    columns: np.ndarray | None = None
    d_head: int | None = None

    def read(self, value):
        """Return the site (token, …) from value (1, token, width), or (1, token, head, d_head)."""
        value = value[0] if value.ndim == 3 else value[0].reshape(value.shape[1], -1)
        value = value if self.columns is None else value[:, self.columns]
        return value if self.d_head is None else value.reshape(len(value), -1, self.d_head)

    def scaled(self, value, factor):
        """Return the module's value with this site times ``factor``."""
        value = value.clone()
        value[..., slice(None) if self.columns is None else self.columns] *= factor
        return value


def places(config):
    """Return the path of the blocks, and site → Place in a block."""
    kind = config["model_type"]
    return TABLES.get(kind, gated)(config)


def gated(config):
    d_head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    after = config["model_type"] in ("gemma2", "gemma3_text")
    found = {
        "z": Place("self_attn.o_proj", "in", None, d_head),
        "attn_out": Place("post_attention_layernorm" if after else "self_attn.o_proj"),
        "resid_mid": Place(f"{'pre_feedforward' if after else 'post_attention'}_layernorm", "in"),
        "mlp_pre": Place("mlp.gate_proj"),
        "mlp_up": Place("mlp.up_proj"),
        "mlp_post": Place("mlp.down_proj", "in"),
        "mlp_out": Place("post_feedforward_layernorm" if after else "mlp.down_proj"),
    }
    for name in "qkv":
        found[name] = Place(f"self_attn.{name}_proj", "out", None, d_head)
    return "model.layers", found


def gpt_neox(config):
    heads = config["num_attention_heads"]
    d_head = config["hidden_size"] // heads
    found = {
        "z": Place("attention.dense", "in", None, d_head),
        "attn_out": Place("attention.dense"),
        "mlp_pre": Place("mlp.dense_h_to_4h"),
        "mlp_post": Place("mlp.dense_4h_to_h", "in"),
        "mlp_out": Place("mlp.dense_4h_to_h"),
    }
    if not config["use_parallel_residual"]:
        found["resid_mid"] = Place("post_attention_layernorm", "in")
    columns = np.arange(3 * heads * d_head).reshape(heads, 3, d_head)
    for i, name in enumerate("qkv"):
        found[name] = Place("attention.query_key_value", "out", columns[:, i].ravel(), d_head)
    return "gpt_neox.layers", found


TABLES = {"gpt_neox": gpt_neox}
