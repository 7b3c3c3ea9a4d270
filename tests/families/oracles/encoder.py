"""BERT and RoBERTa: every token sees all others, and norms follow the sums (Devlin et al. 2019)."""

import numpy as np

from tests.families.oracles.attention import attend
from tests.oracle import ACTIVATIONS


def encoder(config, w, token_ids, note):
    """Run one sentence through the encoder alone; return None, for there are no logits."""
    epsilon = config.get("layer_norm_eps", 1e-12)
    embeddings = w.at("embeddings")
    x = embeddings["word_embeddings.weight"][token_ids]
    x = x + embeddings["position_embeddings.weight"][positions(config, token_ids)]
    x = x + embeddings["token_type_embeddings.weight"][0]
    x = note("resid", 0, embeddings.layer_norm("LayerNorm", x, epsilon))
    for layer in range(config["num_hidden_layers"]):
        x = note("resid", layer + 1, block(config, w.at(f"encoder.layer.{layer}"), layer, x, note))


def positions(config, token_ids):
    """Return the rows of the table: RoBERTa counts from the padding's id on, and never padding."""
    if config["model_type"] == "bert":
        return np.arange(len(token_ids))
    padding = config.get("pad_token_id", 1)
    real = token_ids != padding
    return np.cumsum(real) * real + padding


def block(config, w, layer, x, note):
    epsilon, by_head = (
        config.get("layer_norm_eps", 1e-12),
        (len(x), config["num_attention_heads"], -1),
    )
    qkv = []
    for name in ("query", "key", "value"):
        value = w.linear(f"attention.self.{name}", x).reshape(by_head)
        qkv.append(note(name[0], layer, value))
    everything = np.ones((len(x), len(x)), dtype=bool)
    z = attend(note, layer, *qkv, everything, qkv[0].shape[-1] ** -0.5)
    attn_out = w.linear("attention.output.dense", z.reshape(len(x), -1))
    attn_out = note("attn_out", layer, attn_out)
    mid = w.layer_norm("attention.output.LayerNorm", x + attn_out, epsilon)
    mid = note("resid_mid", layer, mid)
    mlp_pre = note("mlp_pre", layer, w.linear("intermediate.dense", mid))
    mlp_post = note("mlp_post", layer, ACTIVATIONS[config.get("hidden_act", "gelu")](mlp_pre))
    mlp_out = note("mlp_out", layer, w.linear("output.dense", mlp_post))
    return w.layer_norm("output.LayerNorm", mid + mlp_out, epsilon)
