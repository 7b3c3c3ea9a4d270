"""Models of real geometry with random weights, saved as folders: what is measured is time.

Numbers of GPT-2, Pythia and Llama are those of their published configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actlas.pipeline.models.folder import ModelFolder, resolve
from actlas.pipeline.models.registry import FAMILIES

LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
#: beside GPT-2: config.json of each
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "pythia-1.4b": {
        "model_type": "gpt_neox",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "max_position_embeddings": 2048,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "vocab_size": 50304,
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "rope_scaling": LLAMA_3_ROPE,
        "tie_word_embeddings": True,
        "vocab_size": 128256,
    },
}


def gpt2_configuration(blocks: int, heads: int, d_model: int) -> dict[str, Any]:
    """Return the config.json of a GPT-2."""
    return {"model_type": "gpt2", "n_layer": blocks, "n_head": heads, "n_embd": d_model}


def random_folder(folder: Path, config: Mapping[str, Any], dtype: str = "float32") -> ModelFolder:
    """Save a model of ``config`` with weights from N(0, 0.02²) in ``dtype`` as a model folder."""
    import torch
    from transformers.utils import logging

    from actlas.pipeline.models.configuration import effective

    logging.disable_progress_bar()
    torch.manual_seed(0)
    family = FAMILIES[config["model_type"]]
    fields = effective(config, family.config, "the benchmark's configuration")
    with torch.device("meta"):
        model = family.class_of_model()(family.configuration(fields, "sdpa"))
    model = model.to(getattr(torch, dtype)).to_empty(device="cpu")
    model.tie_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    model.save_pretrained(folder)
    return resolve(str(folder))
