"""Tiny models of every type, saved as users have theirs: folders as the hub has them.

``TINY`` is the content of their config.json, in the spelling of transformers 4. All sizes of a
model differ, and nothing that a type can set is left at its default.
"""

import json
import re
import zlib
from pathlib import Path

import numpy as np

from tests.families.tokenizing import tokenizer_for

IDS = {"bos_token_id": 0, "eos_token_id": 0}
WORDS = {"vocab_size": 313, **IDS}  # more rows than the tokenizer has tokens, as in many files
GATED = {
    **WORDS,
    "hidden_size": 45,
    "intermediate_size": 31,
    "num_hidden_layers": 3,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
    "head_dim": 8,  # 15 · 8 is not 45
    "max_position_embeddings": 89,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-3,
    "rope_theta": 500.0,
    "tie_word_embeddings": False,
}
LLAMA = {
    "model_type": "llama",
    **GATED,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
}
NEOX = {
    "model_type": "gpt_neox",
    **WORDS,
    "hidden_size": 45,
    "intermediate_size": 31,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 89,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-3,
    "rotary_pct": 0.5,  # 4 of 9 columns
    "rotary_emb_base": 500,
    "use_parallel_residual": True,
    "tie_word_embeddings": False,
}
LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,  # one wave is kept, one between, two stretched
}
YARN = {  # of four waves one is kept, one between, two stretched
    "max_position_embeddings": 88,
    "rope_theta": 50.0,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 22},
}
TINY: dict[str, dict] = {
    "gpt_neox": NEOX,
    "gpt_neox-sequential": {**NEOX, "use_parallel_residual": False, "rotary_pct": 0.25},
    "gpt_neox-no-bias": {**NEOX, "attention_bias": False, "hidden_act": "gelu_new"},
    "llama": LLAMA,
    "llama-biases": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    "llama-tied": {**LLAMA, "tie_word_embeddings": True},
    "llama-linear-rope": {**LLAMA, "rope_scaling": {"type": "linear", "factor": 3.0}},
    "llama-llama3-rope": {**LLAMA, "rope_scaling": LLAMA_3_ROPE},
    "llama-yarn": {**LLAMA, **YARN},
    "mistral": {"model_type": "mistral", **GATED, "sliding_window": 5},
    "qwen3": {
        "model_type": "qwen3",
        **GATED,
        "attention_bias": True,
        "rope_scaling": None,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
    },
}
CLASSES = {
    "gpt_neox": "GPTNeoXForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
# names in the modules of some version → names in files
RENAMED = {"gpt_neox": (("^lm_head", "embed_out"),)}
TIED = ("lm_head.weight", "embed_out.weight")


def save_tiny(folder: Path, name: str, seed: int = 0) -> Path:
    """Save model ``name`` of TINY and a tokenizer in ``folder``, float32.

    The files are the same whatever version of transformers runs: its model gives names and shapes,
    and each value is 0 (1 in norms that start there) + 0.15 · N(0, 1).
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = TINY[name]
    drawn = {}
    for key, start in starts(config).items():
        noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(start.shape)
        drawn[key] = (start.mean().round() + 0.15 * noise).astype(np.float32)
    save_file(drawn, folder / "model.safetensors", metadata={"format": "pt"})
    written = {"architectures": [CLASSES[config["model_type"]]], "torch_dtype": "float32", **config}
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    tokenizer_for(config["model_type"]).save(str(folder / "tokenizer.json"))
    return folder


def starts(config: dict) -> dict[str, np.ndarray]:
    """Return the freshly made weights by their names in files, each once."""
    import transformers

    kind = config["model_type"]
    model_class = getattr(transformers, CLASSES[kind])
    model = model_class(model_class.config_class.from_dict(config))
    found, kept = {}, set()
    for name, tensor in model.state_dict().items():
        for pattern, replacement in RENAMED.get(kind, ()):
            name = re.sub(pattern, replacement, name)
        if not (name in TIED and tensor.data_ptr() in kept):
            found[name] = tensor.numpy()
        kept.add(tensor.data_ptr())
    return found
