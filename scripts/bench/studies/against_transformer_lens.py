"""``lens``, attribution and attention patterns against TransformerLens, on tiny models.

    python scripts/bench/studies/against_transformer_lens.py

Tiny GPT-2, Pythia and Llama of random weights go through TransformerLens' bridge
(``scripts/bench/peers-requirements.txt``, in an environment of its own) without processing of
weights, and through ``actlas extract``. Printed is the largest difference of logits of every depth,
of the attribution of attention and MLP, and of the weights of attention.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from actlas.analysis.attribution.compute import Answers, attribution
from actlas.analysis.lens.logits import logits
from actlas.scripts.terminal.text import table
from actlas.store import Store
from actlas.store.readouts.readout import ReadoutSource

TEXTS = ("Mary lost her key in the garden.", "We saw her brother walk home after the rain.")
ANSWER, AGAINST = 20, 30
KINDS = ("gpt2", "gpt_neox", "llama")
WORDS = 300
TOLERANCE = 1e-4


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these.")
def main(kinds: tuple[str, ...]) -> None:
    """Compare, and exit with 1 where a difference is above TOLERANCE."""
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
        for kind in kinds or KINDS:
            found = compared(Path(scratch) / kind, kind)
            rows.append([kind, *(f"{value:.1e}" for value in found)])
            worst = max(worst, *found)
    click.echo(table(["", "logits of depths", "attribution", "pattern"], rows))
    sys.exit(0 if worst <= TOLERANCE else 1)


def compared(root: Path, kind: str) -> tuple[float, float, float]:
    """Return the largest differences of a model of ``kind``."""
    model = save_model(root / "model", kind)
    (root / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    command = [sys.executable, "-m", "actlas.scripts"]
    words = ["extract", root / "texts.txt", "--model", model, "--store", root / "store"]
    subprocess.run([*command, *map(str, words), "--name", "it", "--quiet"], check=True)
    run = Store(root / "store").run("it")
    source = ReadoutSource(root / "store", run.specification["model"], "it", str(model))
    readout = source.output()
    dataset = run.dataset(("resid", "attn_out", "mlp_out", "pattern"))
    worst = np.zeros(3)
    for sentence in range(len(TEXTS)):
        here = dataset.isel(token=np.flatnonzero(dataset["sentence"].values == sentence))
        theirs = cached(model, here["token_id"].values)
        ours = np.stack([logits(readout, rows) for rows in here["resid"].values])
        last = here.sizes["token"] - 1
        answers = Answers(np.array([last]), np.array([ANSWER]), np.array([AGAINST]))
        parts = attribution(here, readout, answers)["attribution"].values[..., 0]
        weights = here["pattern"].values.transpose(0, 2, 1, 3)[..., : last + 1]
        found = (ours, parts, weights)
        each = [np.abs(one - other).max() for one, other in zip(found, theirs, strict=True)]
        worst = np.maximum(worst, each)
    return float(worst[0]), float(worst[1]), float(worst[2])


def cached(model: Path, ids: npt.NDArray[np.int32]) -> tuple[Any, Any, Any]:
    """Return logits (depth, token, word), parts (part, layer), pattern by TransformerLens."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(model), device="cpu", dtype=torch.float32)
    bridge.eval()
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(ids.astype(np.int64))[None])
        layers = bridge.cfg.n_layers
        stream = [cache[f"blocks.{layer}.hook_resid_pre"][0] for layer in range(layers)]
        stream.append(cache[f"blocks.{layers - 1}.hook_resid_post"][0])
        each = torch.stack([bridge.unembed(bridge.ln_final(rows[None]))[0] for rows in stream])
        names = ("hook_attn_out", "hook_mlp_out")
        parts = torch.stack(
            [
                torch.stack([cache[f"blocks.{layer}.{name}"][0, -1] for layer in range(layers)])
                for name in names
            ]
        )
        scaled = cache.apply_ln_to_stack(
            parts.flatten(0, 1), layer=-1, pos_slice=-1, mlp_input=False
        )
        direction = bridge.W_U[:, ANSWER] - bridge.W_U[:, AGAINST]
        gain = getattr(bridge.ln_final, "weight", torch.ones(1))
        added = (scaled * gain) @ direction
        pattern = torch.stack(
            [cache[f"blocks.{layer}.attn.hook_pattern"][0] for layer in range(layers)]
        )
    return each.numpy(), added.reshape(2, layers).numpy(), pattern.numpy()


def save_model(folder: Path, kind: str) -> Path:
    """Save a tiny model of random weights and a byte-level tokenizer; return the folder."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    sizes: dict[str, Any] = {"vocab_size": WORDS, "bos_token_id": 0, "eos_token_id": 0}
    wide: dict[str, Any] = {"hidden_size": 40, "num_hidden_layers": 3, "intermediate_size": 56}
    made: dict[str, Any] = {
        "gpt2": lambda: transformers.GPT2Config(n_embd=40, n_layer=3, n_head=4, **sizes),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(num_attention_heads=4, **wide, **sizes),
        "llama": lambda: transformers.LlamaConfig(
            num_attention_heads=4, num_key_value_heads=2, **wide, **sizes
        ),
    }
    config = made[kind]()
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"]
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


if __name__ == "__main__":
    main()
