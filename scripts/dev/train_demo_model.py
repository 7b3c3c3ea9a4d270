"""The command that makes the demo model.

Tokenizer, GPT-2, and a model card that tells how good it is.

Everything follows from the grammar and one seed, so the shipped folder can be remade. torch,
tokenizers and transformers are imported where they work: ``--help`` answers without them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from actlas.scripts.dev.demo_card import model_card
from actlas.scripts.dev.demo_grammar import sentences
from actlas.scripts.dev.demo_options import TOKENIZER_SENTENCES, TrainingOptions

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

END = "<|endoftext|>"
TIED = "lm_head.weight"  # is the token embedding, and safetensors refuses to write one tensor twice
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
# The same function as GPT-2's "gelu_new", in one kernel: a fifth of the training time less.
# config.json says gelu_new.
FAST_GELU = "gelu_pytorch_tanh"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE tokenizer like GPT-2's; END is its token 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return tokenizer


def build_model(options: TrainingOptions, vocabulary: int) -> GPT2LMHeadModel:
    """A GPT-2 with fresh seeded weights, tied embeddings and no dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(options.seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=options.positions,
            n_embd=options.width,
            n_layer=options.blocks,
            n_head=options.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            activation_function=FAST_GELU,
        )
    )


def token_rows(tokenizer: Tokenizer, seed: int, options: TrainingOptions) -> Iterator[torch.Tensor]:
    """Endless batches of token ids, (row, token), of ``tokens_per_step`` tokens each.

    Every row starts with the first token of a sentence, because users give single sentences from
    position 0 on. Further sentences follow, with END between them, and the last one is cut.
    """
    import torch

    source = sentences(seed)

    def row(length: int) -> list[int]:
        ids: list[int] = []
        while len(ids) < length:
            # 0 is END, also the BOS and EOS of the configuration
            ids += [*tokenizer.encode(next(source)).ids, 0]
        return ids[:length]

    while True:
        for length in options.row_lengths:
            yield torch.tensor([row(length) for _ in range(options.tokens_per_step // length)])


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Linear warm-up to ``learning_rate``, then a cosine to a hundredth of it."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    done = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _optimiser(model: GPT2LMHeadModel, options: TrainingOptions) -> torch.optim.AdamW:
    import torch

    positions = model.transformer.wpe.weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not positions]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": options.weight_decay},
            {"params": [positions], "weight_decay": options.position_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )


def next_token_loss(model: GPT2LMHeadModel, ids: torch.Tensor) -> torch.Tensor:
    """Mean -log p (nats) of every token of ``ids``, (row, token), but the first of each row."""
    from torch.nn.functional import cross_entropy

    logits = model(input_ids=ids, use_cache=False).logits  # (row, token, vocabulary)
    return cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def train(model: GPT2LMHeadModel, tokenizer: Tokenizer, options: TrainingOptions) -> None:
    """Train in place for ``steps`` steps of next-token prediction."""
    import torch

    optimiser = _optimiser(model, options)
    rows = token_rows(tokenizer, options.seed, options)
    model.train()
    for step in (progress := tqdm(range(options.steps), disable=None, unit="step")):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options)
        # no sentence is seen twice, so the loss of the last steps is nearly a held-out one
        ids = next(rows)
        loss = next_token_loss(model, ids)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")
    model.train(mode=False)


def heldout_loss(model: GPT2LMHeadModel, tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """Mean -log p (nats) over every token but the first of each sentence.

    Each sentence runs alone, from position 0.
    """
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])  # (1, token)
            # the first token of a sentence has nothing before it to be predicted from
            predicted = ids.shape[1] - 1
            total += next_token_loss(model, ids).item() * predicted
            count += predicted
    return total / count


def save(model: GPT2LMHeadModel, tokenizer: Tokenizer, out: Path) -> None:
    """Write what ``from_pretrained`` needs, and nothing else: weights, configuration, tokenizer."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.contiguous() for name, value in model.state_dict().items() if name != TIED
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    model.config.update({"activation_function": "gelu_new", **dict.fromkeys(DROPOUTS, 0.1)})
    model.config.architectures = ["GPT2LMHeadModel"]
    model.config.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.n_positions,
        # Without it transformers 4 adds token_type_ids, and GPT-2 adds their embeddings to every
        # token.
        "model_input_names": ["input_ids", "attention_mask"],
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), END),
    }
    (out / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2) + "\n", encoding="utf-8"
    )


def make(options: TrainingOptions, out: Path) -> tuple[float, float]:
    """Train and write the whole folder; the held-out loss and the seconds of training."""
    import torch

    torch.set_num_threads(options.threads)
    tokenizer = train_tokenizer(
        islice(sentences(options.seed), TOKENIZER_SENTENCES), options.vocabulary
    )
    model = build_model(options, tokenizer.get_vocab_size())
    started = time.perf_counter()
    train(model, tokenizer, options)
    seconds = time.perf_counter() - started
    loss = heldout_loss(
        model, tokenizer, islice(sentences(options.heldout_seed), options.heldout_sentences)
    )
    save(model, tokenizer, out)
    (out / "README.md").write_text(model_card(model, options, loss, seconds), encoding="utf-8")
    return loss, seconds


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo_model"),
    show_default=True,
    help="Folder for the model, its tokenizer and its card.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=TrainingOptions.steps,
    show_default=True,
    help="Optimiser steps.",
)
@click.option(
    "--seed",
    type=int,
    default=TrainingOptions.seed,
    show_default=True,
    help="Seed of the training text and of the initial weights.",
)
def main(out: Path, steps: int, seed: int) -> None:
    """Train the demo model: a small GPT-2 on English sentences from a grammar.

    The defaults remake the model that is shipped with actlas, in a few minutes on two processor
    cores.
    """
    try:
        options = TrainingOptions(steps=steps, seed=seed)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    loss, seconds = make(options, out)
    click.echo(
        f"{out}: held-out loss {loss:.3f} nats per token after {steps} steps in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
