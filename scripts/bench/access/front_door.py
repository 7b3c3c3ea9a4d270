"""Two lines in a notebook: how long actlas, TransformerLens and nnsight take to a first result.

    pip install -c constraints.txt -r scripts/bench/peers-requirements.txt -e ".[model]"
    python scripts/bench/access/front_door.py

The job: 54 sentences through the demo model, then the variance of the queries of "her" over the
sentences, layer by layer. Each adapter runs in processes of its own, in turn. Times begin before
the first import; the processor's seconds count child processes too, and tell more on a busy
machine. Those that are not installed are left out, and said.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

WORD = "her"
TEXTS = Path(__file__).parents[3] / "pipeline" / "texts" / "her.txt"
MODEL = Path(__file__).parents[3] / "pipeline" / "demo_model"
END = "<|endoftext|>"
#: name → the package that it needs
PACKAGES = {"actlas": "actlas", "TransformerLens": "transformer_lens", "nnsight": "nnsight"}
TOLERANCE = 1e-3  # relative: sums over 54 values in float32 there, in float64 here


@click.command()
@click.option("--runs", default=3, show_default=True, help="Processes of each adapter.")
@click.option("--adapter", type=click.Choice(list(PACKAGES)), hidden=True)
def main(runs: int, adapter: str | None) -> None:
    """Time import and first result of actlas and of what else does its job."""
    if adapter is not None:
        click.echo(json.dumps(measured(adapter)))
        return
    here = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in here}
    for number in range(runs):
        for name in here[number % len(here) :] + here[: number % len(here)]:
            command = [sys.executable, __file__, "--adapter", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise click.ClickException(f"{name} failed: {done.stderr.strip()[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    click.echo(report(found))
    for name in PACKAGES.keys() - set(here):
        click.echo(f"not installed: {name}")


def measured(adapter: str) -> dict[str, Any]:
    """Do the job once in this process; return seconds, and the variance of each layer."""
    texts = TEXTS.read_text(encoding="utf-8").splitlines()
    start = time.perf_counter()
    importlib.import_module(PACKAGES[adapter])
    imported = time.perf_counter() - start
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as place:
        variance = ADAPTERS[adapter](texts, Path(place))
    first, processor = time.perf_counter() - start, sum(os.times()[:4])
    return {"import": imported, "first": first, "processor": processor, "variance": variance}


def with_actlas(texts: list[str], place: Path) -> list[float]:
    """Two lines; the activations of all sites are stored."""
    import actlas

    run = actlas.extract(texts, "demo", store=place / "store", quiet=True)
    result = actlas.variance(run, target=WORD)
    variance = result.dataset["variance"].sel(group="target", projection="q")
    return [float(each) for each in variance]


def with_transformer_lens(texts: list[str], place: Path) -> list[float]:
    """``run_with_cache`` of a bridge, then NumPy."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    model, tokenizer = _loaded(place)
    bridge = TransformerBridge.boot_transformers(
        str(MODEL), hf_model=model, tokenizer=tokenizer, device="cpu"
    )
    ids, at = _tokens(tokenizer, texts)
    names = [f"blocks.{layer}.attn.hook_q" for layer in range(model.config.n_layer)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids, return_type=None, names_filter=names)
    return [_variance(cache[name].flatten(2), at) for name in names]


def with_nnsight(texts: list[str], place: Path) -> list[float]:
    """A trace, each layer saved, then NumPy."""
    import torch
    from nnsight import NNsight

    model, tokenizer = _loaded(place)
    ids, at = _tokens(tokenizer, texts)
    traced, found = NNsight(model), {}
    with torch.no_grad(), traced.transformer.trace(ids, use_cache=False):
        for layer, block in enumerate(traced.transformer.h):
            found[layer] = block.attn.c_attn.output.save()
    width = model.config.n_embd
    return [_variance(found[layer][..., :width], at) for layer in sorted(found)]


ADAPTERS: dict[str, Callable[[list[str], Path], list[float]]] = {
    "actlas": with_actlas,
    "TransformerLens": with_transformer_lens,
    "nnsight": with_nnsight,
}


def _loaded(place: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    marks = {"bos_token": END, "eos_token": END, "pad_token": END}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"), **marks)
    tokenizer.save_pretrained(place)
    model = AutoModelForCausalLM.from_pretrained(MODEL).eval()
    return model, PreTrainedTokenizerFast.from_pretrained(place)


def _tokens(tokenizer: Any, texts: list[str]) -> tuple[Any, list[int]]:
    """Return ids (sentence, position), padded on the right, and the word's last token in each."""
    made = tokenizer(texts, return_offsets_mapping=True, padding=True, return_tensors="pt")
    at = []
    for text, spans in zip(texts, made["offset_mapping"].tolist(), strict=True):
        word = re.search(rf"\b{WORD}\b", text, re.IGNORECASE)
        end = word.end() if word else -1
        at.append(next(place for place, span in enumerate(spans) if span[1] == end))
    return made["input_ids"], at


def _variance(values: Any, at: list[int]) -> float:
    """Return the mean variance of features (sentence, position, feature) at the word's tokens."""
    chosen = values.numpy()[np.arange(len(at)), at].astype(np.float64)
    return float(chosen.var(0, ddof=1).mean())


def report(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of medians; raises ClickException where numbers differ."""
    from actlas.scripts.terminal.text import table  # not before the import that is timed

    own = np.array(found["actlas"][0]["variance"])
    rows = []
    for name, runs in found.items():
        if not np.allclose(runs[0]["variance"], own, rtol=TOLERANCE):
            raise click.ClickException(f"{name} has other variances than actlas")
        names = ("import", "first", "processor")
        seconds = [statistics.median(run[what] for run in runs) for what in names]
        rows.append((name, f"{seconds[0]:.3f}", *(f"{each:.2f}" for each in seconds[1:])))
    return table(("adapter", "import s", "first result s", "processor s"), rows)


if __name__ == "__main__":
    main()
