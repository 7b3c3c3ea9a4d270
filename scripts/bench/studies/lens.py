"""``lens`` at GPT-2 XL shapes: seconds a depth, and memory beside the unembedding.

    python scripts/bench/studies/lens.py

Random activations and a random readout: neither changes what the products cost. Printed beside it:
the products with the unembedding alone, which no lens does without.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import dask
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from actlas.analysis.lens.compute import flops, lens
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import Measured
from actlas.scripts.bench.common.synthetic import labels_of, random_run
from actlas.scripts.terminal.text import size, table
from actlas.store.readouts.readout import Readout
from actlas.store.readouts.words import word_bytes
from actlas.store.readouts.writing import NewArray, add_readout

XL = {"n_head": 25, "d_model": 1600, "d_head": 64, "d_mlp": 6400, "positions": 1024}
MODEL = {"family": "gpt2", "weights": f"xxh3:{'0' * 32}", "config": "0" * 64}
FACTS = {
    "norm": {"kind": "layer", "epsilon": 1e-5},
    "cap": None,
    "scale": 1.0,
    "head": "plain",
    "activation": "",
    "mask": None,
}


@click.command()
@click.option("--depths", default=13, show_default=True, help="GPT-2 XL has 49.")
@click.option("--tokens", default=54, show_default=True)
@click.option("--vocabulary", default=50257, show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(depths: int, tokens: int, vocabulary: int, runs: int, threads: int) -> None:
    """Measure the lens of one sentence a token long, many times."""
    geometry = Geometry(**XL, n_layer=depths - 1, vocabulary=vocabulary)
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
        labels = labels_of(max(1, tokens // 9), 9, vocabulary)
        run = random_run(Path(scratch) / "store", geometry, ("resid",), labels, 1 << 10)
        readout = random_readout(Path(scratch) / "store", vocabulary, geometry.d_model)
        dataset, unembed = run.dataset(("resid",)), readout.unembed
        ours, product = Measured(anonymous=True), Measured(anonymous=True)
        with dask.config.set(scheduler="threads", num_workers=threads):
            for number in range(runs + 1):
                with threadpool_limits(1, "blas"):
                    ours.add(lambda: measured(dataset, readout), counted=number > 0)
                with threadpool_limits(threads, "blas"):
                    product.add(lambda: products(dataset, unembed), counted=number > 0)
    rows = []
    for name, each in (("lens", ours), ("products alone", product)):
        seconds = min(each.seconds)
        rate = flops(run.tokens, depths, readout) / seconds / 1e9
        per_depth = f"{seconds / depths:.2f} s"
        rows.append([name, f"{seconds:.1f} s", per_depth, f"{rate:.0f} GFlop/s", size(each.peak)])
    click.echo(f"{run.tokens} tokens, {depths} depths, {vocabulary} words, {threads} threads\n")
    click.echo(table(["", "best", "a depth", "", "memory"], rows))


def measured(dataset: xr.Dataset, readout: Readout) -> None:
    """Compute the lens of all tokens."""
    lens(dataset, readout).compute()


def products(dataset: xr.Dataset, unembed: np.ndarray) -> None:
    """Multiply every row with the unembedding."""
    for depth in range(dataset.sizes["depth"]):
        _ = dataset["resid"].isel(depth=depth).values @ unembed.T


def random_readout(store: Path, vocabulary: int, width: int) -> Readout:
    """Store a readout of random numbers."""
    unembed = np.random.default_rng(0).standard_normal((vocabulary, width), dtype=np.float32)
    lengths, characters = word_bytes([f" {number}" for number in range(vocabulary)])
    arrays = {
        "gain": _array(("d_model",), np.ones(width, np.float32)),
        "unembed": _array(("vocabulary", "d_model"), unembed * np.float32(0.02)),
        "vocabulary_length": _array(("vocabulary",), lengths, "int32"),
        "vocabulary_bytes": NewArray(
            ("character",), (len(characters),), "bytes", "words", lambda: [characters]
        ),
    }
    return Readout(add_readout(store, MODEL, "output", FACTS, arrays)[0])


def _array(dims: tuple[str, ...], values: np.ndarray, dtype: str = "float32") -> NewArray:
    return NewArray(dims, values.shape, dtype, "random", lambda: [values.tobytes()])


if __name__ == "__main__":
    main()
