"""The token loss by tiles of the vocabulary against whole rows of logits, alternating.

    python scripts/bench/loss.py

The whole way takes the logits of 128 tokens at a time and ``cross_entropy``; random weights and
activations. Prints seconds, the processor's seconds, peak memory and the largest difference.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import click

from actlas.pipeline.extraction.loss import token_loss
from actlas.pipeline.extraction.transfer import real_rows
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.terminal.text import table

if TYPE_CHECKING:
    import torch

CHUNK = 128  # tokens whose whole logits exist at a time


@click.command()
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=20, show_default=True, help="Tokens of each sentence.")
@click.option("--vocabulary", default=50257, show_default=True)
@click.option("--width", default=768, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(sentences: int, tokens: int, vocabulary: int, width: int, threads: int, runs: int) -> None:
    """Measure the loss by tiles against the loss by whole rows."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    head = torch.nn.Linear(width, vocabulary, bias=False)
    model = cast(Any, SimpleNamespace(get_output_embeddings=lambda: head, config=None))
    hidden = torch.randn(sentences, tokens, width) * 0.3
    ids, lengths = torch.randint(vocabulary, (sentences, tokens)), [tokens] * sentences
    methods = {
        "whole rows": lambda: whole_rows(head, hidden, ids, lengths),
        "tiles": lambda: token_loss(GPT2, model, hidden, ids, lengths)[:, 1:].flatten(),
    }
    with torch.inference_mode():
        measures, cpu = alternate(methods, runs)
        difference = float((methods["whole rows"]() - methods["tiles"]()).abs().max())
    rows = [(*each.row(name), f"{cpu[name]:.2f}") for name, each in measures.items()]
    click.echo(table((*HEADER, "processor s"), rows))
    ratio = cpu["tiles"] / cpu["whole rows"]
    click.echo(
        f"\nprocessor, tiles over whole rows {ratio:.2f}; largest difference {difference:.2g}"
    )


def alternate(
    methods: dict[str, Callable[[], torch.Tensor]], runs: int
) -> tuple[dict[str, Measured], dict[str, float]]:
    """Run them in turn; return their measures and the median of the processor's seconds."""
    measures = {name: Measured(anonymous=True, cold=True) for name in methods}
    used: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(runs + 1):
        for name, way in methods.items():
            start = time.process_time()
            measures[name].add(way, counted=number > 0)
            used[name] += [time.process_time() - start] if number else []
    return measures, {name: statistics.median(each) for name, each in used.items()}


def whole_rows(
    head: torch.nn.Linear, hidden: torch.Tensor, ids: torch.Tensor, lengths: list[int]
) -> torch.Tensor:
    """Return the loss of each token after the first, (token,), float32."""
    import torch

    before = [length - 1 for length in lengths]
    rows, targets = real_rows(hidden[:, :-1], before), real_rows(ids[:, 1:], before)
    parts = zip(rows.split(CHUNK), targets.split(CHUNK), strict=True)
    entropy = torch.nn.functional.cross_entropy
    return torch.cat([entropy(head(part), goal, reduction="none") for part, goal in parts])


if __name__ == "__main__":
    main()
