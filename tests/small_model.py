"""A small GPT-2 with odd sizes, all different.

And every parameter perturbed, saved as users have their models: a folder.
"""

from pathlib import Path

TEXTS = (
    "Mary lost her key in the garden.",
    "When the rain began, Tom gave her a blue coat and walked home.",
    "We saw her.",
    "The teacher asked her brother about the long walk by the river after lunch on Monday.",
    "Nobody in the village knew her name, and naïve visitors — quite a few — guessed.",
)
SIZES = {"n_layer": 3, "n_head": 5, "n_embd": 35, "n_inner": 44, "n_positions": 90}


def save_model(folder: Path, seed: int = 0, **config: object) -> Path:
    """Save model and tokenizer in ``folder``.

    Parameters that start as 0 or 1 are moved away from there.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = small_tokenizer()
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(**{**SIZES, **ids, "vocab_size": tokenizer.get_vocab_size(), **config})
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def small_tokenizer():
    """Train a byte-level BPE of about 300 tokens on TEXTS; " her" is one of them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=311,
        initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, " her her her her"], trainer)
    return tokenizer
