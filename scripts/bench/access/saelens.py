"""SAELens reads what ``actlas export --format saelens`` wrote, and trains on what is stored.

    pip install -c constraints.txt sae-lens==6.54.12 -e ".[model,out]"
    python scripts/bench/access/saelens.py

In an environment of its own: SAELens wants another TransformerLens than the other peers. Its loader
of cached activations goes through the export of one layer of the demo model; rows and token ids are
compared with the run, token by token. Then its trainer fits a sparse autoencoder to the same layer,
fed by ``run.to_torch``. Printed is the share of variance that it explains before and after.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import actlas
from actlas.store import Run

TEXTS = Path(__file__).parents[3] / "pipeline" / "texts" / "english.txt"
SITE, LAYER, CONTEXT = "mlp_post", 3, 8
HOOK = f"blocks.{LAYER}.mlp.hook_post"
BATCH = 256


@click.command()
@click.option("--rows", default=20_000, show_default=True, help="That training sees.")
@click.option("--features", default=1024, show_default=True, help="Of the autoencoder.")
def main(rows: int, features: int) -> None:
    """Read and train, and exit with 1 where a number differs or nothing is learned."""
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
        root = Path(scratch)
        texts = TEXTS.read_text(encoding="utf-8").splitlines()
        run = actlas.extract(texts, "demo", sites=SITE, store=root / "store", quiet=True)
        words = ["export", run.id, root / "cache", "--store", root / "store", "--site", SITE]
        words += ["--layers", LAYER, "--format", "saelens", "--context-size", CONTEXT]
        command = [sys.executable, "-m", "actlas.scripts", *map(str, words)]
        subprocess.run(command, check=True)
        wrong = compared(run, root / "cache")
        before, after = trained(run, rows, features)
    click.echo(f"rows of the export that differ from the run: {wrong}")
    click.echo(f"variance explained: {before:.3f} before training, {after:.3f} after")
    sys.exit(0 if not wrong and after > max(before, 0.5) else 1)


def compared(run: Run, cache: Path) -> int:
    """Return how many tokens SAELens' loader gives otherwise than the run has them."""
    from sae_lens.training.activations_store import ActivationsStore

    dataset = run.dataset(SITE)
    values = dataset[SITE].isel(layer=LAYER).values
    ids, sentence = dataset["token_id"].values, dataset["sentence"].values
    store = ActivationsStore(
        model=None,
        dataset=None,
        streaming=False,
        hook_name=HOOK,
        hook_head_index=None,
        context_size=CONTEXT,
        d_in=values.shape[1],
        n_batches_in_buffer=2,
        total_training_tokens=len(ids),
        store_batch_size_prompts=1,
        train_batch_size_tokens=CONTEXT,
        prepend_bos=False,
        normalize_activations="none",
        device="cpu",
        dtype="float32",
        cached_activations_path=str(cache),
    )
    wrong = 0
    for start in rows_of(sentence):
        rows, tokens = store.get_raw_llm_batch(raise_on_epoch_end=True)
        here = slice(start, start + CONTEXT)
        equal = (rows.numpy() == values[here]).all(1) & (tokens.numpy() == ids[here])
        wrong += int((~equal).sum())
    try:
        store.get_raw_llm_batch(raise_on_epoch_end=True)
    except StopIteration:
        return wrong
    return wrong + 1  # there are more rows than the run has


def rows_of(sentence: np.ndarray) -> Iterator[int]:
    """Yield the first token of each row of CONTEXT tokens of a sentence."""
    starts = np.flatnonzero(np.diff(sentence, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(sentence)], strict=True):
        yield from range(start, end - CONTEXT + 1, CONTEXT)


def trained(run: Run, rows: int, features: int) -> tuple[float, float]:
    """Return the variance that SAELens' autoencoder explains before and after training."""
    import torch
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)
    fed = run.to_torch(SITE, LAYER, BATCH, where="position:1-999", seed=0)
    whole = torch.cat([batch for batch, _ in fed])
    sae = StandardTrainingSAE(
        StandardTrainingSAEConfig(
            d_in=whole.shape[1], d_sae=features, l1_coefficient=0.01, normalize_activations="none"
        )
    )
    before = explained(sae, whole)
    config = SAETrainerConfig(
        total_training_samples=rows, train_batch_size_samples=BATCH, lr=1e-3, lr_end=1e-4
    )
    SAETrainer(cfg=config, sae=sae, data_provider=epochs(fed)).fit()
    return before, explained(sae, whole)


def epochs(fed: Any) -> Iterator[Any]:
    """Yield whole batches, epoch after epoch, each in another order."""
    number = 0
    while True:
        fed.set_epoch(number)
        for batch, _ in fed:
            if len(batch) == BATCH:
                yield batch
        number += 1


def explained(sae: Any, rows: Any) -> float:
    """Return 1 − squared error over variance."""
    import torch

    with torch.no_grad():
        error = (sae(rows) - rows).square().sum()
        return 1 - float(error / (rows - rows.mean(0)).square().sum())


if __name__ == "__main__":
    main()
