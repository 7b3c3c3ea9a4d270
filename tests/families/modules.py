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
    heads_first: bool = False  # (1, head, token, d_head)

    def read(self, value):
        """Return the site (token, …) from value (1, token, width) or (1, token, head, d_head)."""
        value = value[0].transpose(0, 1) if self.heads_first else value[0]
        value = value.reshape(len(value), -1)
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
    kind, heads = config["model_type"], config["num_attention_heads"]
    d_head = config.get("head_dim") or config["hidden_size"] // heads
    after = kind in ("gemma2", "gemma3_text", "olmo2")
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
    if kind == "olmo2":
        found["resid_mid"] = Place("mlp.gate_proj", "in")  # which no norm precedes
    if kind in ("qwen3", "gemma3_text", "olmo2"):
        for name in "qk":
            path = f"self_attn.{name}_norm"
            found[f"{name}_normed"] = Place(path, "out", None, d_head, kind == "gemma3_text")
    return "model.layers", found | (fused(config, d_head) if kind == "phi3" else {})


def fused(config, d_head):
    """Phi 3: query heads, then key heads, then value heads; gate, then up."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    ends = np.cumsum([heads, kv_heads, kv_heads]) * d_head
    found = {}
    for name, columns in zip("qkv", np.split(np.arange(ends[-1]), ends[:-1]), strict=True):
        found[name] = Place("self_attn.qkv_proj", "out", columns, d_head)
    gate, up = np.arange(2 * config["intermediate_size"]).reshape(2, -1)
    path = "mlp.gate_up_proj"
    return found | {"mlp_pre": Place(path, "out", gate), "mlp_up": Place(path, "out", up)}


def gpt_neox(config):
    heads = config["num_attention_heads"]
    d_head = config["hidden_size"] // heads
    found = plain("attention.dense", ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), d_head)
    if not config["use_parallel_residual"]:
        found["resid_mid"] = Place("post_attention_layernorm", "in")
    columns = np.arange(3 * heads * d_head).reshape(heads, 3, d_head)
    for i, name in enumerate("qkv"):
        found[name] = Place("attention.query_key_value", "out", columns[:, i].ravel(), d_head)
    return "gpt_neox.layers", found


def gpt_neo(config):
    d_head = config["hidden_size"] // config["num_heads"]
    found = plain("attn.attention.out_proj", ("mlp.c_fc", "mlp.c_proj"), d_head)
    found["resid_mid"] = Place("ln_2", "in")
    for name in "qkv":
        found[name] = Place(f"attn.attention.{name}_proj", "out", None, d_head)
    return "transformer.h", found


def gptj(config):
    d_head = config["n_embd"] // config["n_head"]
    found = plain("attn.out_proj", ("mlp.fc_in", "mlp.fc_out"), d_head)
    for name in "qkv":
        found[name] = Place(f"attn.{name}_proj", "out", None, d_head)
    return "transformer.h", found


def phi(config):
    d_head = config["hidden_size"] // config["num_attention_heads"]
    found = plain("self_attn.dense", ("mlp.fc1", "mlp.fc2"), d_head)
    for name in "qkv":
        found[name] = Place(f"self_attn.{name}_proj", "out", None, d_head)
    return "model.layers", found


def encoder(config):
    d_head = config["hidden_size"] // config["num_attention_heads"]
    found = plain("attention.output.dense", ("intermediate.dense", "output.dense"), d_head)
    found["resid_mid"] = Place("attention.output.LayerNorm")
    for name in ("query", "key", "value"):
        found[name[0]] = Place(f"attention.self.{name}", "out", None, d_head)
    return f"{config['model_type']}.encoder.layer", found


def plain(attention, mlp, d_head):
    """Return z, attn_out and the MLP's sites, from the names of their linear maps."""
    return {
        "z": Place(attention, "in", None, d_head),
        "attn_out": Place(attention),
        "mlp_pre": Place(mlp[0]),
        "mlp_post": Place(mlp[1], "in"),
        "mlp_out": Place(mlp[1]),
    }


TABLES = {
    "gpt_neox": gpt_neox,
    "gpt_neo": gpt_neo,
    "gptj": gptj,
    "phi": phi,
    "bert": encoder,
    "roberta": encoder,
}
