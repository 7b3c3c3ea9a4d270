"""Verification against plain hashing of the same files.

It also measures what checking on reading costs, on one stored run.

    python scripts/bench/store/verify.py

The files are in the page cache, so that the disk does not hide the difference; all readings take
turns in one process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import dask
import xxhash

from actlas.pipeline.models.geometry import Geometry
from actlas.scripts.bench.common.measuring import HEADER, Measured
from actlas.scripts.bench.common.synthetic import labels_of, random_run
from actlas.scripts.terminal.text import size, table
from actlas.store.maintenance.verify import verify
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
SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out")
READ_BYTES = 1 << 22


@click.command()
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option(
    "--runs", default=5, show_default=True, help="Counted runs of each way, after one that is not."
)
@click.option(
    "--threads",
    default=2,
    show_default=True,
    help="Threads of reading; verification and hashing have one.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: the system's for temporary files]",
)
def main(sentences: int, tokens: int, runs: int, threads: int, folder: Path | None) -> None:
    """Measure verification and checked reading at GPT-2 XL geometry."""
    dask.config.set(scheduler="threads", num_workers=threads)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        labels = labels_of(sentences, tokens)
        run = random_run(Path(scratch) / "store", Geometry(**XL), SITES, labels, sentences // 3)
        readings = {
            "XXH3 of the files": lambda: hash_files(run),
            "verify": lambda: check(run),
            "variance of q": lambda: read(run, checked=False),
            "variance of q, checked": lambda: read(run, checked=True),
            "54 tokens of q": lambda: read(run, checked=False, every=tokens),
            "54 tokens of q, checked": lambda: read(run, checked=True, every=tokens),
        }
        measured = {name: Measured() for name in readings}
        for number in range(runs + 1):
            for name, reading in readings.items():
                measured[name].add(reading, counted=number > 0)
        total = run.nbytes
    click.echo(
        f"{size(total)} in {len(run.units)} files\n\n"
        f"{table(HEADER, [m.row(name) for name, m in measured.items()])}\n"
    )
    hashing, verifying = (measured[name].seconds for name in ("XXH3 of the files", "verify"))
    speeds = [a / b for a, b in zip(hashing, verifying, strict=True)]
    click.echo(
        f"speed of verify, of hashing's  {sorted(speeds)[len(speeds) // 2]:.2f}, "
        f"{min(speeds):.2f} to {max(speeds):.2f}"
    )
    for name in ("variance of q", "54 tokens of q"):
        click.echo(
            f"checked / not, {name:15} "
            f"{measured[f'{name}, checked'].median / measured[name].median:.2f}"
        )


def hash_files(run: Run) -> None:
    """Read every shard in pieces and hash it."""
    for commit in run.commits:
        digest = xxhash.xxh3_64()
        with run.path(commit).open("rb", buffering=0) as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)


def check(run: Run) -> None:
    """Verify; raise if anything is wrong."""
    if any(checked.problems for checked in verify(run)):
        raise click.ClickException("the run is damaged")


def read(run: Run, *, checked: bool, every: int = 1) -> None:
    """Take the variance over every token, or one in ``every``, from the files."""
    values = run.dataset(["q"], check=checked)["q"].isel(token=slice(every // 2, None, every))
    values.var("token").compute()


if __name__ == "__main__":
    main()
