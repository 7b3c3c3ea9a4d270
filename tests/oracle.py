"""GPT-2 in plain NumPy, float64, one sentence at a time.

An oracle that shares nothing with torch's modules.

Written from the architecture (Radford et al. 2019): pre-LayerNorm blocks, learned positions, causal
attention, GELU in its tanh form, output matrix tied to the embedding. Weights are stored (input,
output): y = x W + b.
"""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def exact_gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    **dict.fromkeys(
        ("gelu_accurate", "gelu_fast", "gelu_new", "gelu_python_tanh", "gelu_pytorch_tanh"), gelu
    ),
    **dict.fromkeys(("gelu", "gelu_python"), exact_gelu),
    **dict.fromkeys(("silu", "swish"), lambda x: x * sigmoid(x)),
    "gelu_10": lambda x: np.clip(exact_gelu(x), -10, 10),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "laplace": lambda x: 0.5 * (1 + erf((x - 0.707107) / (0.282095 * np.sqrt(2)))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "linear": lambda x: x,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
}


def layer_norm(x, weight, bias, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * weight + bias


def softmax(scores):
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


def attention(q, k, v, scale, drop):
    """q, k, v: (token, head, d_head) → z of the same shape, and the weights (token, head, key).

    scale: of the scores; drop(weights (head, query, key), v): what is left of the weights after
    dropout.
    """
    tokens = len(q)
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    future = np.triu(np.ones((tokens, tokens), dtype=bool), 1)
    pattern = drop(softmax(np.where(future, -np.inf, scores)), v)  # (head, query, key)
    return np.einsum("hqk,khd->qhd", pattern, v), pattern.transpose(1, 0, 2)


def unchanged(_site, _index, value, _source):
    return value


def undropped(_place, _index, value, *_):
    return value


def scale_of(config, layer, d_head):
    """The factor of the scores in block ``layer``."""
    scale = d_head**-0.5 if config.get("scale_attn_weights", True) else 1.0
    return scale / (layer + 1) if config.get("scale_attn_by_inverse_layer_idx", False) else scale


def activations(weights, token_ids, heads, config=None, change=unchanged, drop=undropped):
    """Return every site of one sentence.

    Name → array with the dims of the store, (layer or depth, token, …).

    config: fields of config.json other than their defaults. change(site, index, value, source)
    returns what takes the place of a value; source: what went into the block that wrote it.
    drop(place, index, value, …) returns what dropout leaves of the embeddings, the attention
    weights (with v), the outputs of attention and MLP.
    """
    config = config or {}
    activation, epsilon = (
        ACTIVATIONS[config.get("activation_function", "gelu_new")],
        config.get("layer_norm_epsilon", 1e-5),
    )
    w = {
        name.removeprefix("transformer."): np.asarray(value, dtype=np.float64)
        for name, value in weights.items()
    }
    layers = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("h."))
    tokens, d_model = len(token_ids), w["wte.weight"].shape[1]
    by_head = (tokens, heads, d_model // heads)
    found = {
        name: []
        for name in (
            "resid",
            "resid_mid",
            "q",
            "k",
            "v",
            "z",
            "attn_out",
            "mlp_pre",
            "mlp_post",
            "mlp_out",
            "pattern",
        )
    }
    embedded = drop("embd", 0, w["wte.weight"][token_ids] + w["wpe.weight"][:tokens])
    x = change("resid", 0, embedded, None)
    for layer in range(layers):
        block = {
            name.removeprefix(f"h.{layer}."): value
            for name, value in w.items()
            if name.startswith(f"h.{layer}.")
        }

        def linear(x, name, block=block):
            return x @ block[f"{name}.weight"] + block[f"{name}.bias"]

        def changed(site, value, source=None, layer=layer):
            return change(site, layer, value, source)

        def norm(x, name, block=block):
            return layer_norm(x, block[f"{name}.weight"], block[f"{name}.bias"], epsilon)

        fused = linear(norm(x, "ln_1"), "attn.c_attn")
        q, k, v = (
            fused[:, part * d_model : (part + 1) * d_model].reshape(by_head) for part in range(3)
        )
        q, k, v = changed("q", q), changed("k", k), changed("v", v)
        scale = scale_of(config, layer, d_model // heads)
        z, pattern = attention(
            q, k, v, scale, lambda pattern, v, layer=layer: drop("pattern", layer, pattern, v)
        )
        z = changed("z", z)
        attn_out = changed("attn_out", linear(z.reshape(tokens, d_model), "attn.c_proj"))
        mid = x + drop("attn_out", layer, attn_out)
        if (other := changed("resid_mid", mid)) is not mid:
            mid, attn_out = other, other - x  # the stream is changed through what attention adds
        mlp_pre = changed("mlp_pre", linear(norm(mid, "ln_2"), "mlp.c_fc"))
        mlp_post = changed("mlp_post", activation(mlp_pre))
        mlp_out = changed("mlp_out", linear(mlp_post, "mlp.c_proj"))
        for name, value in (
            ("resid", x),
            ("resid_mid", mid),
            ("q", q),
            ("k", k),
            ("v", v),
            ("z", z),
            ("pattern", pattern),
        ):
            found[name].append(value)
        for name, value in (
            ("attn_out", attn_out),
            ("mlp_pre", mlp_pre),
            ("mlp_post", mlp_post),
            ("mlp_out", mlp_out),
        ):
            found[name].append(value)
        x = change("resid", layer + 1, mid + drop("mlp_out", layer, mlp_out), x)
    found["resid"].append(x)
    final = change(
        "final_norm", None, layer_norm(x, w["ln_f.weight"], w["ln_f.bias"], epsilon), None
    )
    return {name: np.stack(values) for name, values in found.items()} | {
        "final_norm": final,
        "nll": _loss(w, final, token_ids, config),
    }


def _loss(w, final, token_ids, config):
    head = w["wte.weight"] if config.get("tie_word_embeddings", True) else w["lm_head.weight"]
    probabilities = softmax(final @ head.T)
    loss = np.full(len(token_ids), np.nan)
    loss[1:] = -np.log(probabilities[np.arange(len(token_ids) - 1), token_ids[1:]])
    return loss
