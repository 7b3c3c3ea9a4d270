"""Throughput of ``run.to_torch`` beside a plain memory-mapped read of the same bytes.

    python scripts/bench/access/feeding.py --tokens 200000 --width 768

A synthetic run of one site; the plain way maps the same rows from one ``.npy`` file and copies them
batch by batch into tensors, in order or by a permutation of all rows. All bytes are in the page
cache. They take turns; ratios of their medians are printed: 1 is as fast as the plain read.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from actlas.pipeline.feeding import TokenRows
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import seconds_of
from actlas.scripts.bench.common.synthetic import labels_of, random_run
from actlas.scripts.terminal.text import size, table
from actlas.store import Run

LAYERS, LAYER, SENTENCE = 2, 1, 100
PLAIN, RANDOM = "plain memory-mapped read, in order", "plain, rows in random order"

Floats = npt.NDArray[np.float32]


@click.command()
@click.option("--tokens", default=200_000, show_default=True)
@click.option("--width", default=768, show_default=True, help="d_model of the synthetic run.")
@click.option("--batch", default=4096, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write.")
def main(tokens: int, width: int, batch: int, repeats: int, folder: Path | None) -> None:
    """Measure feeding against a plain memory-mapped read."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        run, plain = made(Path(scratch), tokens, width)
        later = rows_of(run, batch)
        readers: dict[str, Callable[[], Iterator[torch.Tensor]]] = {
            PLAIN: lambda: in_order(plain, batch),
            RANDOM: lambda: permuted(plain, batch),
            "to_torch, first epoch (checksums)": lambda: fed(rows_of(run, batch)),
            "to_torch, later epochs": lambda: fed(later),
        }
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for name in readers:
            consume(readers[name])  # into the page cache
        for _ in range(repeats):
            for name, reader in readers.items():
                seconds[name] += seconds_of(lambda reader=reader: consume(reader), 1)  # type: ignore[misc]
        medians = {name: statistics.median(each) for name, each in seconds.items()}
        rows = [
            (
                name,
                f"{taken:.3f}",
                f"{medians[PLAIN] / taken:.2f}",
                f"{medians[RANDOM] / taken:.2f}",
            )
            for name, taken in medians.items()
        ]
        click.echo(f"{run.tokens} tokens, {size(plain.nbytes)}, batches of {batch}")
        click.echo(table(("read", "median s", "of in order", "of random"), rows))


def made(folder: Path, tokens: int, width: int) -> tuple[Run, Floats]:
    """Return a run of one site and its layer's rows in a memory-mapped ``.npy`` file."""
    geometry = Geometry(LAYERS, width // 64, width, 64, 4 * width, 1024, 50257)
    labels = labels_of(tokens // SENTENCE, SENTENCE)
    run = random_run(folder / "store", geometry, ("attn_out",), labels, 2048 // SENTENCE)
    np.save(folder / "plain.npy", run.dataset("attn_out")["attn_out"].isel(layer=LAYER).values)
    return run, np.load(folder / "plain.npy", mmap_mode="r")


def in_order(rows: Floats, batch: int) -> Iterator[torch.Tensor]:
    """Yield batches of rows as they lie, each copied once."""
    for first in range(0, len(rows), batch):
        yield torch.from_numpy(np.array(rows[first : first + batch]))


def permuted(rows: Floats, batch: int) -> Iterator[torch.Tensor]:
    """Yield batches of rows drawn from all of them."""
    order = np.random.default_rng(0).permutation(len(rows))
    for first in range(0, len(rows), batch):
        yield torch.from_numpy(rows[order[first : first + batch]])


def rows_of(run: Run, batch: int) -> TokenRows:
    """Return the dataset that training would have."""
    return TokenRows(run, "attn_out", LAYER, batch)


def fed(dataset: TokenRows) -> Iterator[torch.Tensor]:
    """Yield the batches of an epoch, as training would see them."""
    return (rows for rows, _ in dataset)


def consume(reader: Callable[[], Iterator[torch.Tensor]]) -> None:
    """Go through all batches."""
    for rows in reader():
        assert rows.dtype == torch.float32


if __name__ == "__main__":
    main()
