"""GPT-NeoX, GPT-Neo and GPT-J: LayerNorms and plain MLPs, each with attention of its own."""

from tests.families import rope
from tests.families.attention import attend, causal
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
