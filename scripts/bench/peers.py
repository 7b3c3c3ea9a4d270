"""The same job by a notebook script, TransformerLens, nnsight and actlas.

The same weights, sentences and sites, on disk.

    pip install -c constraints.txt -r scripts/bench/peers-requirements.txt -e ".[model]"
    python scripts/bench/peers.py --geometry gpt2-xl

Each adapter runs in processes of its own, in turn, after a warm-up of one sentence, the disk
quiet: without logits, and with the loss of each token. Among them the trunk, the forward pass alone
that all have to do: what each takes beyond it is compared with what actlas does. Only actlas waits
for the disk at the end. TransformerLens runs with the weights as they are: nothing folded, nothing
centred. Memory is what the job takes beside the loaded model, whose files every adapter maps.
Compares the values of all adapters, site by site.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from actlas.scripts.bench.common.measuring import Measured
from actlas.scripts.bench.common.peers import (
    ADAPTERS,
    SITES,
    TRUNK,
    read_layer,
    stored_site,
    work_of,
)
from actlas.scripts.bench.extraction import GEOMETRIES, random_model
from actlas.scripts.terminal.text import size, table

READS = 5


@click.command()
@click.option("--geometry", type=click.Choice(list(GEOMETRIES)), default="gpt2", show_default=True)
@click.option("--sentences", default=54, show_default=True)
@click.option("--tokens", default=16, show_default=True, help="Tokens of each sentence.")
@click.option("--runs", default=3, show_default=True, help="Processes of each adapter.")
@click.option("--threads", default=2, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: that of temporary files]",
)
@click.option(
    "--loss",
    type=click.Choice(("with", "without", "both")),
    default="both",
    show_default=True,
    help="Whether the loss of each token is computed.",
)
@click.option("--adapter", type=click.Choice(list(ADAPTERS)), hidden=True)
def main(
    geometry: str,
    sentences: int,
    tokens: int,
    runs: int,
    threads: int,
    folder: Path | None,
    loss: str,
    adapter: str | None,
) -> None:
    """Compare actlas with what else does its job."""
    if adapter is not None:
        assert folder is not None
        job = (sentences, tokens, threads)
        click.echo(json.dumps(measured(adapter, folder, job, loss == "with")))
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as place:
        # the same weights for all, random: speed does not depend on what they are
        scratch = Path(place)
        random_model(scratch / "model", *GEOMETRIES[geometry])
        sizes = ("--sentences", sentences, "--tokens", tokens, "--threads", threads)
        options = [*map(str, sizes), "--folder", place]
        for choice in ("without", "with") if loss == "both" else (loss,):
            found = in_turn(runs, [*options, "--loss", choice])
            click.echo(
                f"\n{geometry} geometry, float32, {sentences} × {tokens} tokens, sites "
                f"{' '.join(SITES)}, {choice} the loss, {threads} threads\n"
            )
            click.echo(report(found))
            click.echo("\n" + beyond(found))
            sites = (*SITES, "nll") if choice == "with" else SITES
            click.echo("\n" + differences(scratch, sites, GEOMETRIES[geometry][0]))


def in_turn(runs: int, options: list[str]) -> dict[str, list[dict[str, float]]]:
    """Return what each adapter took in each of its processes."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ADAPTERS}
    for number in range(runs):
        turned = number % len(ADAPTERS)  # so that none always comes after the same other
        for name in [*ADAPTERS][turned:] + [*ADAPTERS][:turned]:
            os.sync()  # what the one before left to the system is not this one's to wait for
            command = [sys.executable, __file__, "--adapter", name, *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise click.ClickException(f"{name} failed: {done.stderr.strip()[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            click.echo(f"{name}: {found[name][-1]}", err=True)
    return found


def measured(adapter: str, folder: Path, job: tuple[int, int, int], loss: bool) -> dict[str, float]:
    """Do the job by one ``adapter`` in this process, then read one layer's target tokens back.

    job: sentences, tokens of each, threads.
    """
    import torch

    from actlas.scripts.bench.common.synthetic import labels_of

    sentences, tokens, threads = job
    torch.set_num_threads(threads)
    token_ids = (
        labels_of(sentences, tokens).token["token_id"].reshape(sentences, tokens).astype(np.int64)
    )
    start = time.perf_counter()
    work = work_of(adapter, folder / "model", loss)
    loaded = time.perf_counter() - start
    with tempfile.TemporaryDirectory(dir=folder) as warm_up:
        work(token_ids[:1], Path(warm_up) / "out")
    out = folder / adapter
    subprocess.run(["rm", "-rf", str(out)], check=True)
    taken, before = Measured(anonymous=True), time.process_time()
    taken.add(lambda: work(token_ids, out))
    processor = time.process_time() - before
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    layer = json.loads((folder / "model" / "config.json").read_text())["n_layer"] // 2
    reading = Measured(anonymous=True)
    for number in range(0 if adapter == TRUNK else READS + 1):
        reading.add(lambda: read_layer(adapter, out, layer, tokens), counted=number > 0)
    return {
        "seconds": taken.median,
        "processor": processor,
        "load": loaded,
        "peak": taken.peak,
        "bytes": written,
        "read seconds": reading.median if reading.seconds else 0.0,
        "read peak": reading.peak,
    }


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the table of medians and least times, and of each as a ratio to actlas."""
    header = (
        "adapter",
        "wall s",
        "least",
        "most",
        "with load",
        "peak",
        "read back s",
        "× wall",
        "× least",
        "× peak",
        "× read",
    )
    own = {key: _median(found["actlas"], key) for key in found["actlas"][0]}
    least = {name: min(run["seconds"] for run in runs) for name, runs in found.items()}
    rows = []
    for name, runs in found.items():
        one = {key: _median(runs, key) for key in runs[0]}
        rows.append(
            (
                name,
                f"{one['seconds']:.2f}",
                f"{least[name]:.2f}",
                f"{max(run['seconds'] for run in runs):.2f}",
                f"{one['seconds'] + one['load']:.2f}",
                size(int(one["peak"])),
                f"{one['read seconds']:.4f}",
                f"{one['seconds'] / own['seconds']:.2f}",
                f"{least[name] / least['actlas']:.2f}",
                f"{own['peak'] / max(one['peak'], 1):.3f}",
                f"{one['read seconds'] / own['read seconds']:.2f}" if name != TRUNK else "",
            )
        )
    written = ", ".join(f"{name} {size(int(runs[0]['bytes']))}" for name, runs in found.items())
    legend = (
        "× wall, least, read: this adapter's over actlas's; × peak: actlas's over this adapter's; "
        "medians but for least and most"
    )
    return "\n".join([table(header, rows), "", legend, f"written: {written}"])


def beyond(found: dict[str, list[dict[str, float]]]) -> str:
    """Return what each adapter takes beyond the trunk, and actlas's over it.

    By medians and least times, and by the processor's time, which tells more on a busy machine. No
    ratio where the trunk took as long.
    """
    rest: dict[str, list[float]] = {}
    for name, runs in found.items():
        pairs = [(_median, "seconds"), (_least, "seconds"), (_median, "processor")]
        rest[name] = [of(runs, key) - of(found[TRUNK], key) for of, key in pairs]
    rows = []
    for name, seconds in rest.items():
        if name != TRUNK:
            both = zip(rest["actlas"], seconds, strict=True)
            ratios = [f"{own / each:.2f}" if each > 0 else "-" for own, each in both]
            rows.append((name, *(f"{each:.2f}" for each in seconds), *ratios))
    kinds = ("median", "least", "processor")
    header = ("beyond the trunk", *(f"{kind} s" for kind in kinds))
    return table((*header, *(f"actlas's over it, {kind}" for kind in kinds)), rows)


def differences(scratch: Path, sites: tuple[str, ...], blocks: int) -> str:
    """Return per site the largest difference of each adapter from actlas.

    Absolute and relative to the largest value.
    """
    rows = []
    for site in sites:
        row: list[Any] = [site]
        own = [
            stored_site("actlas", scratch / "actlas", site, number)
            for number in range(1 if site == "nll" else blocks + (site == "resid"))
        ]
        largest = max(float(np.abs(values).max()) for values in own)
        for adapter in ADAPTERS:
            if adapter not in ("actlas", TRUNK):
                other = (
                    stored_site(adapter, scratch / adapter, site, number)
                    for number in range(len(own))
                )
                worst = max(float(np.abs(a - b).max()) for a, b in zip(own, other, strict=True))
                row.append(f"{worst:.1e} ({worst / largest:.1e})")
        rows.append(tuple(row))
    others = [adapter for adapter in ADAPTERS if adapter not in ("actlas", TRUNK)]
    return "largest difference from actlas (and over the site's largest value)\n" + table(
        ("site", *others), rows
    )


def _least(runs: list[dict[str, float]], key: str) -> float:
    return min(run[key] for run in runs)


def _median(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


if __name__ == "__main__":
    main()
