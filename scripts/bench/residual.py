"""``norms`` and the sums of blocks over a stored run.

Against ``np.memmap`` and ``np.linalg.norm`` on the same bytes.

    python scripts/bench/residual.py

The plain way maps each site of each unit, takes the norms of all vectors of a layer at a time and
keeps their mean, quartiles and largest, in one thread. Ours is once the same, of all tokens,
through the lazy view; and once all of ``norm_profile``: norms per group, steps, spread, shares.
Warm cache, in turn, in one process. Then the peak of memory on a run and on one of GROWTH times as
many units.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import dask
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from actlas.analysis.groups import select_groups
from actlas.analysis.norms.compute import norm_profile, norm_statistics
from actlas.analysis.reconstruction.compute import Precision, reconstruction
from actlas.analysis.reconstruction.laminar import Mask, laminar_correlation
from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import HEADER, Measured, memory
from actlas.scripts.bench.common.synthetic import labels_of, random_run
from actlas.scripts.terminal.text import size, table
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
DEFAULT = ("resid", "q", "k", "v", "attn_out", "mlp_out")
SUMS = ("resid", "attn_out", "mlp_out")
TOKENS = 16  # of a sentence
GROWTH = 8
QUANTILES = (0.25, 0.5, 0.75, 1)


@click.command()
@click.option("--layers", default=48, show_default=True)
@click.option("--sentences", default=54, show_default=True, help=f"Of {TOKENS} tokens each.")
@click.option(
    "--runs", default=3, show_default=True, help="Counted runs of each way, after one that is not."
)
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's for temporary files]",
)
def main(layers: int, sentences: int, runs: int, threads: int, folder: Path | None) -> None:
    """Measure the residual-stream analyses at GPT-2 XL geometry."""
    geometry = Geometry(**{**XL, "n_layer": layers})
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        run = random_run(
            Path(scratch) / "xl", geometry, DEFAULT, labels_of(sentences, TOKENS), sentences
        )
        click.echo(
            f"GPT-2 XL geometry, {layers} blocks, {sentences} × {TOKENS} tokens, float32, "
            "warm cache\n"
        )
        for name, sites in (
            ("resid", ("resid",)),
            ("resid attn_out mlp_out", SUMS),
            ("all", DEFAULT),
        ):
            compare(run, name, sites, runs, threads)
        with dask.config.set(scheduler="threads", num_workers=threads):
            other_ways(run, runs)
        grow(Path(scratch), layers, threads)


def compare(run: Run, name: str, sites: tuple[str, ...], runs: int, threads: int) -> None:
    """Time norms alone, and the whole profile, of ``sites`` against the plain way.

    Both run with one thread and with ``threads``.
    """
    nbytes = sum(commit.sites[site].layout.nbytes for commit in run.commits for site in sites)
    # what the plain way computes, and all that `actlas norms` does
    readings = {
        "norms alone": lambda: norms_alone(run, sites).compute(),
        "profile": lambda: profile(run, sites).compute(),
    }
    ours = {
        (reading, count): Measured(anonymous=True)
        for reading in readings
        for count in sorted({1, threads})
    }
    plain = Measured(anonymous=True)
    for number in range(runs + 1):
        plain.add(lambda: plain_norms(run, sites), counted=number > 0)
        for (reading, count), measured in ours.items():
            with (
                dask.config.set(scheduler="threads", num_workers=count),
                threadpool_limits(1, user_api="blas"),
            ):
                measured.add(readings[reading], counted=number > 0)
    rows = [(*plain.row("np.memmap + np.linalg.norm"), "1.00")]
    rows += [
        (
            *measured.row(f"{reading}, {count} thread{'s' * (count > 1)}"),
            f"{plain.median / measured.median:.2f}",
        )
        for (reading, count), measured in ours.items()
    ]
    click.echo(f"{name}: {size(nbytes)}\n{table((*HEADER, 'of plain speed'), rows)}\n")


def norms_alone(run: Run, sites: tuple[str, ...]) -> xr.Dataset:
    """Return what the plain way computes, of each site, lazily."""
    dataset = run.dataset(sites)
    return xr.Dataset(
        {site: norm_statistics(dataset[site], {"all": np.arange(run.tokens)}) for site in sites}
    )


def profile(run: Run, sites: tuple[str, ...]) -> xr.Dataset:
    """Return what ``actlas norms`` computes."""
    dataset = run.dataset(sites)
    return norm_profile(dataset, select_groups(dataset, first_token="group", every=True), sums=True)


def plain_norms(
    run: Run, sites: tuple[str, ...]
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Return mean, quartiles and largest of the norms of each layer of each site."""
    found = []
    for site in sites:
        pieces = [(run.path(commit), commit.sites[site]) for commit in run.commits]
        maps = [
            np.memmap(
                path,
                "<f4",
                "r",
                stored.offset,
                shape=(stored.layout.blocks, *stored.layout.block_shape),
            )
            for path, stored in pieces
        ]
        for layer in range(pieces[0][1].layout.blocks):
            norms = np.concatenate([np.linalg.norm(mapped[layer], axis=-1) for mapped in maps])
            found.append(np.array([norms.mean(), *np.quantile(norms, QUANTILES)]))
    return found


def other_ways(run: Run, runs: int) -> None:
    """Time the sums of blocks and the correlation of depths."""
    dataset = run.dataset(SUMS)
    sums, laminar = Measured(anonymous=True), Measured(anonymous=True)
    with threadpool_limits(1, user_api="blas"):
        for number in range(runs + 1):
            sums.add(lambda: reconstruction(dataset, Precision()).compute(), counted=number > 0)
            laminar.add(
                lambda: laminar_correlation(dataset["resid"], Mask()).compute(), counted=number > 0
            )
    click.echo(
        table(HEADER, [sums.row("sums of blocks"), laminar.row("correlation of depths")]) + "\n"
    )


def grow(scratch: Path, layers: int, threads: int) -> None:
    """Print the peak of the process's memory in each analysis on a run.

    A second run has GROWTH times as many units.
    """
    geometry = Geometry(**{**XL, "n_layer": max(1, layers // 8)})
    counts = (4, 4 * GROWTH)
    made = {
        units: random_run(
            scratch / f"units-{units}", geometry, SUMS, labels_of(units * 32, TOKENS), 32
        )
        for units in counts
    }
    for units, run in made.items():
        dataset = run.dataset(SUMS)
        readings: dict[str, Callable[[], object]] = {
            "norms": lambda run=run: profile(run, SUMS).compute(),  # type: ignore[misc]
            "sums of blocks": lambda dataset=dataset: reconstruction(
                dataset, Precision()
            ).compute(),  # type: ignore[misc]
            "correlation of depths": lambda dataset=dataset: laminar_correlation(
                dataset["resid"], Mask()
            ).compute(),  # type: ignore[misc]
        }
        peaks = {}
        with (
            dask.config.set(scheduler="threads", num_workers=threads),
            threadpool_limits(1, user_api="blas"),
        ):
            for name, reading in readings.items():
                measured, rest = Measured(anonymous=True, cold=True), memory("RssAnon")
                measured.add(reading)
                peaks[name] = rest + measured.peak
        text = ", ".join(f"{name} {size(peak)}" for name, peak in peaks.items())
        click.echo(
            f"{units:3d} units of 512 tokens, {size(run.nbytes)}, peak of the process: {text}"
        )


if __name__ == "__main__":
    main()
