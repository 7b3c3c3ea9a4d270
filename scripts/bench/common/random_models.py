"""Folders of models with random weights, of the families that are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actlas.pipeline.models.folder import ModelFolder, resolve

#: blocks, heads, heads of keys, width, width of the MLP, words
Sizes = tuple[int, int, int, int, int, int]


def random_gpt2(folder: Path, sizes: Sizes) -> ModelFolder:
    """Save a GPT-2 of random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    blocks, heads, _, width, _, words = sizes
    return saved(
        folder,
        GPT2LMHeadModel,
        GPT2Config(n_layer=blocks, n_head=heads, n_embd=width, vocab_size=words),
    )


def random_llama(folder: Path, sizes: Sizes) -> ModelFolder:
    """Save a Llama of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    blocks, heads, of_keys, width, mlp, words = sizes
    config = LlamaConfig(
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        num_key_value_heads=of_keys,
        hidden_size=width,
        intermediate_size=mlp,
        vocab_size=words,
        tie_word_embeddings=True,
    )
    return saved(folder, LlamaForCausalLM, config)


def saved(folder: Path, kind: Any, config: Any) -> ModelFolder:
    """Save a model of normally distributed weights; norms multiply by one."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.02)
    model.save_pretrained(folder)
    return resolve(str(folder))
