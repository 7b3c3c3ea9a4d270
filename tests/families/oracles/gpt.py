"""GPT-NeoX, GPT-Neo, GPT-J and Phi: LayerNorms and plain MLPs, each with attention of its own."""

import numpy as np

from tests.families.oracles import rope
from tests.families.oracles.attention import attend, causal
from tests.oracle import ACTIVATIONS


def plain_mlp(w, names, activation, layer, x, note):
    """Return mlp_out; names: of the two linear maps."""
    mlp_pre = note("mlp_pre", layer, w.linear(names[0], x))
    mlp_post = note("mlp_post", layer, activation(mlp_pre))
    return note("mlp_out", layer, w.linear(names[1], mlp_post))


def gpt_neox(config, w, token_ids, note):
    """Black et al. 2022; return the logits (token, vocabulary)."""
    epsilon = config.get("layer_norm_eps", 1e-5)
    x = note("resid", 0, w["embed_in.weight"][token_ids])
    for layer in range(config["num_hidden_layers"]):
        x = note("resid", layer + 1, _neox_block(config, w, layer, x, note))
    final = note("final_norm", None, w.layer_norm("final_layer_norm", x, epsilon))
    tied = config.get("tie_word_embeddings", False)
    return note("logits", None, final @ w["embed_in.weight" if tied else "embed_out.weight"].T)


def _neox_block(config, w, layer, x, note):
    w, epsilon = w.at(f"layers.{layer}"), config.get("layer_norm_eps", 1e-5)
    heads, tokens = config["num_attention_heads"], len(x)
    fused = w.linear(
        "attention.query_key_value", w.layer_norm("input_layernorm", x, epsilon)
    ).reshape(tokens, heads, 3, -1)  # each head holds its query, key and value
    q, k, v = (note(name, layer, fused[:, :, i]) for i, name in enumerate("qkv"))
    theta, factor = rope.angles(config, q.shape[-1], tokens)
    q = note("q_rot", layer, rope.halves(q, theta, factor))
    k = note("k_rot", layer, rope.halves(k, theta, factor))
    z = attend(note, layer, q, k, v, causal(tokens), q.shape[-1] ** -0.5)
    attn_out = note("attn_out", layer, w.linear("attention.dense", z.reshape(tokens, -1)))
    mid = x + attn_out
    parallel = config.get("use_parallel_residual", True)
    mid = mid if parallel else note("resid_mid", layer, mid)
    normed = w.layer_norm("post_attention_layernorm", x if parallel else mid, epsilon)
    activation = ACTIVATIONS[config.get("hidden_act", "gelu")]
    names = ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    return mid + plain_mlp(w, names, activation, layer, normed, note)


def gpt_neo(config, w, token_ids, note):
    """Black et al. 2021; return the logits (token, vocabulary)."""
    x = w["wte.weight"][token_ids] + w["wpe.weight"][: len(token_ids)]
    x = note("resid", 0, x)
    for layer in range(config["num_layers"]):
        x = note("resid", layer + 1, _neo_block(config, w.at(f"h.{layer}"), layer, x, note))
    final = w.layer_norm("ln_f", x, config.get("layer_norm_epsilon", 1e-5))
    tied = config.get("tie_word_embeddings", True)
    head = w["wte.weight" if tied else "lm_head.weight"]
    return note("logits", None, note("final_norm", None, final) @ head.T)


def _neo_block(config, w, layer, x, note):
    epsilon, heads = config.get("layer_norm_epsilon", 1e-5), config["num_heads"]
    q, k, v = _heads(w.at("attn.attention"), heads, layer, w.layer_norm("ln_1", x, epsilon), note)
    kinds = []
    for period, times in config["attention_types"]:
        kinds += period * times
    window = config.get("window_size", 256) if kinds[layer] == "local" else None
    z = attend(note, layer, q, k, v, causal(len(x), window), 1.0)  # scores are not scaled
    attn_out = w.linear("attn.attention.out_proj", z.reshape(len(x), -1))
    mid = note("resid_mid", layer, x + note("attn_out", layer, attn_out))
    activation = ACTIVATIONS[config.get("activation_function", "gelu_new")]
    normed = w.layer_norm("ln_2", mid, epsilon)
    return mid + plain_mlp(w, ("mlp.c_fc", "mlp.c_proj"), activation, layer, normed, note)


def gptj(config, w, token_ids, note):
    """Wang and Komatsuzaki 2021; return the logits (token, vocabulary)."""
    x = note("resid", 0, w["wte.weight"][token_ids])
    for layer in range(config["n_layer"]):
        x = note("resid", layer + 1, _gptj_block(config, w.at(f"h.{layer}"), layer, x, note))
    final = w.layer_norm("ln_f", x, config.get("layer_norm_epsilon", 1e-5))
    return note("logits", None, w.linear("lm_head", note("final_norm", None, final)))


def _gptj_block(config, w, layer, x, note):
    normed = w.layer_norm("ln_1", x, config.get("layer_norm_epsilon", 1e-5))
    q, k, v = _heads(w.at("attn"), config["n_head"], layer, normed, note)
    width, tokens = config["rotary_dim"], len(x)
    theta = np.arange(tokens)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    q = note("q_rot", layer, rope.neighbours(q, theta))
    k = note("k_rot", layer, rope.neighbours(k, theta))
    z = attend(note, layer, q, k, v, causal(tokens), q.shape[-1] ** -0.5)
    attn_out = note("attn_out", layer, w.linear("attn.out_proj", z.reshape(tokens, -1)))
    activation = ACTIVATIONS[config.get("activation_function", "gelu_new")]
    names = ("mlp.fc_in", "mlp.fc_out")
    return x + attn_out + plain_mlp(w, names, activation, layer, normed, note)


def phi(config, w, token_ids, note):
    """Li et al. 2023 (phi-1.5); return the logits (token, vocabulary)."""
    x = note("resid", 0, w["embed_tokens.weight"][token_ids])
    for layer in range(config["num_hidden_layers"]):
        x = note("resid", layer + 1, _phi_block(config, w.at(f"layers.{layer}"), layer, x, note))
    final = w.layer_norm("final_layernorm", x, config.get("layer_norm_eps", 1e-5))
    return note("logits", None, w.linear("lm_head", note("final_norm", None, final)))


def _phi_block(config, w, layer, x, note):
    normed = w.layer_norm("input_layernorm", x, config.get("layer_norm_eps", 1e-5))
    heads, tokens = config["num_attention_heads"], len(x)
    counts = (heads, *[config.get("num_key_value_heads") or heads] * 2)
    q, k, v = (
        note(name, layer, w.linear(f"self_attn.{name}_proj", normed).reshape(tokens, count, -1))
        for name, count in zip("qkv", counts, strict=True)
    )
    theta, factor = rope.angles(config, q.shape[-1], tokens)
    q = note("q_rot", layer, rope.halves(q, theta, factor))
    k = note("k_rot", layer, rope.halves(k, theta, factor))
    z = attend(note, layer, q, k, v, causal(tokens), q.shape[-1] ** -0.5)
    attn_out = note("attn_out", layer, w.linear("self_attn.dense", z.reshape(tokens, -1)))
    activation = ACTIVATIONS[config.get("hidden_act", "gelu_new")]
    names = ("mlp.fc1", "mlp.fc2")
    return x + attn_out + plain_mlp(w, names, activation, layer, normed, note)


def _heads(w, heads, layer, x, note):
    """Return q, k, v (token, head, d_head) of three linear maps."""
    found = []
    for name in "qkv":
        value = w.linear(f"{name}_proj", x).reshape(len(x), heads, -1)
        found.append(note(name, layer, value))
    return found
