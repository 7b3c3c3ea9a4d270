"""``cosine_histograms`` against the plain NumPy way, on the same stored run, in one process.

    python scripts/bench/cosine.py

The plain way takes, per layer and group, the whole matrix, boolean masks, ``np.histogram`` and the
same moments; once with the bins as edges, once as a number and a range, for which NumPy has a
shortcut. Prints seconds, ratios, peak memory without the store's file pages, how the cost grows
with layers, and the time to open a run of many units.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import dask
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from actlas.analysis.cosine.compute import PROJECTION_PAIRS, cosine_histograms
from actlas.analysis.data.tokens import Selection, Target, select_tokens
from actlas.analysis.kernels.compiled import tile_counter
from actlas.analysis.kernels.tile_counts import HIGH
from actlas.analysis.variance.compute import PROJECTIONS
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.bench.common.synthetic import WORD, labels_of, random_run
from actlas.scripts.terminal.text import table
from actlas.store.catalog import Store
from actlas.store.runs.run import Run

XL = {
    "n_layer": 48,
    "n_head": 25,
    "d_model": 1600,
    "d_head": 64,
    "d_mlp": 6400,
    "positions": 1024,
    "vocabulary": 50257,
}
SMALL = {
    "n_layer": 2,
    "n_head": 2,
    "d_model": 8,
    "d_head": 4,
    "d_mlp": 16,
    "positions": 64,
    "vocabulary": 100,
}


@click.command()
@click.option("--layers", default=48, show_default=True)
@click.option(
    "--runs",
    default=5,
    show_default=True,
    help="Counted runs, after one that is not; of the plain ways one.",
)
@click.option("--threads", default=2, show_default=True)
@click.option("--bins", default=100, show_default=True)
@click.option(
    "--units", default=500, show_default=True, help="Units of the run that is only opened."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's for temporary files]",
)
def main(layers: int, runs: int, threads: int, bins: int, units: int, folder: Path | None) -> None:
    """Measure the cosine histograms of GPT-2 XL geometry, 54 sentences of 16 tokens."""
    dask.config.set(scheduler="threads", num_workers=threads)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        geometry = Geometry(**{**XL, "n_layer": layers})
        run = random_run(Path(scratch) / "xl", geometry, PROJECTIONS, labels_of(54, 16), 54)
        dataset = run.dataset(PROJECTIONS)
        selection = select_tokens(dataset, Target(WORD))
        ours, plain, shortcut = compare(dataset, selection, bins, runs)
        rows = [
            ours.row("actlas"),
            plain.row("plain NumPy, edges"),
            shortcut.row("plain NumPy, range"),
        ]
        click.echo(
            f"GPT-2 XL geometry, {layers} layers × 2 groups, 54 tokens each, {bins} bins, "
            f"{threads} threads, counted {'by numba' if tile_counter() else 'by NumPy'}\n"
        )
        click.echo(f"{table(HEADER, rows)}\n")
        click.echo(
            f"plain / actlas  {plain.median / ours.median:.1f} with edges, "
            f"{shortcut.median / ours.median:.1f} with a range"
        )
        for count in sorted({max(1, layers // 4), max(1, layers // 2), layers}):
            part = Measured()
            first = dataset.isel(layer=slice(count))
            with threadpool_limits(1, user_api="blas"):
                part.add(cosine_histograms(first, selection, bins=bins).compute)
            click.echo(
                f"{count:4d} layers  {part.median:.2f} s, "
                f"{part.median / count * 1000:.0f} ms a layer"
            )
        many = random_run(
            Path(scratch) / "many", Geometry(**SMALL), PROJECTIONS, labels_of(units, 16, 100), 1
        )
        click.echo(f"opening a run of {units} units  {opening(many, runs).median:.2f} s")


def compare(
    dataset: xr.Dataset, selection: Selection, bins: int, runs: int
) -> tuple[Measured, Measured, Measured]:
    """Run ours, the plain ways in between, and say how well the counts agree."""
    ours, plain, shortcut = (Measured(anonymous=True, cold=True) for _ in range(3))
    found: list[xr.Dataset] = []
    counts: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []

    def histograms() -> None:
        with threadpool_limits(1, user_api="blas"):
            found.append(cosine_histograms(dataset, selection, bins=bins).compute())

    for number in range(runs + 1):
        ours.add(histograms, counted=number > 0)
        if number == runs // 2:
            plain.add(
                lambda: counts.append(
                    plain_counts(dataset, selection, np.linspace(-1, 1, bins + 1))
                )
            )
            shortcut.add(lambda: counts.append(plain_counts(dataset, selection, bins)))
    difference = np.abs(
        found[-1]["count"].transpose("group", "projection_pair", "layer", "bin").values - counts[0]
    ).sum(-1)
    share = difference.max() / 2 / found[-1]["pairs"].min().item()
    click.echo(f"largest share of the pairs counted in another bin: {share:.1e}", err=True)
    return ours, plain, shortcut


def plain_counts(
    dataset: xr.Dataset,
    selection: Selection,
    bins: int | np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return (group, projection_pair, layer, bin).

    Whole matrices, boolean masks, np.histogram; moments are computed and forgotten.
    """
    size = dataset.sizes["head"] * dataset.sizes["d_head"]
    part = {
        projection: np.arange(3 * size) // size == index
        for index, projection in enumerate(PROJECTIONS)
    }
    upper = np.triu(np.ones((3 * size, 3 * size), dtype=bool), 1)
    masks = [
        np.outer(part[a], part[b]) & upper if a == b else np.outer(part[a], part[b])
        for a, b in PROJECTION_PAIRS.values()
    ]
    number = bins if isinstance(bins, int) else len(bins) - 1
    counts = np.zeros((2, len(masks), dataset.sizes["layer"], number), dtype=np.int64)
    for group, tokens in enumerate(selection.groups.values()):
        for layer in range(dataset.sizes["layer"]):
            rows = [
                dataset[p].isel(layer=layer, token=tokens).values.reshape(len(tokens), -1)
                for p in PROJECTIONS
            ]
            features = np.concatenate(rows, axis=1)
            features = features / np.linalg.norm(features, axis=0)
            matrix = np.clip(features.T @ features, -1, 1)
            for pair, mask in enumerate(masks):
                values = matrix[mask]
                counts[group, pair, layer] = np.histogram(values, bins, range=(-1, 1))[0]
                sizes = np.abs(values)
                _ = values.mean(), values.std(), sizes.mean(), (sizes > HIGH).mean()
    return counts


def opening(run: Run, runs: int) -> Measured:
    """Open the run again and build its dataset, several times."""
    measured = Measured()
    for _ in range(runs):
        measured.add(lambda: Store(run.folder.parents[1]).run(run.id).dataset())
    return measured


if __name__ == "__main__":
    main()
