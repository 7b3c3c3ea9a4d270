"""Many small units by real extraction.

The cost of a unit, of opening, and what ``variance`` of a rare word reads and holds.

    python scripts/bench/small_units.py --units 10000
    python scripts/bench/small_units.py --units 2000 --every 20    # as many words in a smaller run:
    memory should be the same

A small random model, sentences of ten tokens, one a unit; the word is in each hundredth, or as
``--every`` says. Overhead is what extraction takes beyond the forward pass and writing the same
bytes to files, one ``fsync`` each. Then the run is packed, as ``actlas extract`` does at its end
with so many files. Bytes read are those that the kernel fetched for a process whose files were
dropped from the page cache before (``read_bytes`` of /proc/self/io), so FOLDER must lie on a disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from actlas.scripts.bench.common.measuring import memory
from actlas.scripts.bench.common.synthetic import WORD
from actlas.scripts.terminal.text import size
from actlas.store import Run, Store

SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out")
LAYERS, HEADS, D_MODEL = 4, 4, 64
TOKENS = 10
SAMPLE = 500  # units of the bare forward pass and the raw write


@click.command()
@click.option("--units", default=10000, show_default=True)
@click.option("--every", default=100, show_default=True, help="Sentences to one that has the word.")
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write.  [default: that of temporary files]",
)
@click.option("--study", is_flag=True, hidden=True)
def main(units: int, every: int, threads: int, folder: Path | None, study: bool) -> None:
    """Measure extraction, opening and variance of many small units."""
    if study:
        assert folder is not None
        click.echo(json.dumps(studied(folder)))
        return
    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
        run = extracted(units, every, Path(scratch))
        show_reading(run, "as extracted")
        from actlas.store.writing.pack import pack

        start = time.perf_counter()
        done = pack(run)
        taken = time.perf_counter() - start
        click.echo(
            f"packing              {taken / units * 1e3:.1f} ms, {taken:.1f} s: {done.before} "
            f"files to {done.after}"
        )
        show_reading(run, "packed")


def extracted(units: int, every: int, scratch: Path) -> Run:
    """Extract a run of ``units`` sentences and print what a unit took."""
    import torch

    from actlas.pipeline.extraction.loop import extract_with
    from actlas.pipeline.extraction.options import ExtractOptions
    from actlas.pipeline.extraction.planning import make_plan
    from actlas.pipeline.inputs.tokens import Tokenized
    from actlas.pipeline.models.folder import load
    from actlas.scripts.bench.extraction import random_model
    from actlas.scripts.bench.scaling import rare_labels
    from actlas.store.labels.special import SpecialTokens

    folder = random_model(scratch / "model", LAYERS, HEADS, D_MODEL)
    model: Any = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    labels = rare_labels(units, every)
    store = Store.create(scratch / "store")
    options = ExtractOptions(SITES, unit_tokens=TOKENS)
    plan = make_plan(store, folder, Tokenized(labels, (), SpecialTokens(), ""), "random", options)
    run = store.name(store.add(plan.specification, plan.description, plan.units), "it")
    ids = torch.from_numpy(labels.token["token_id"].reshape(units, TOKENS)).long()
    with torch.inference_mode():
        model.transformer(ids[:1])
        start = time.perf_counter()
        for number in range(min(units, SAMPLE)):
            model.transformer(ids[number : number + 1], use_cache=False)
    forward = (time.perf_counter() - start) / min(units, SAMPLE)
    start = time.perf_counter()
    extract_with(model, plan, run)
    taken = (time.perf_counter() - start) / units
    raw = raw_write(scratch / "raw", run.nbytes // units)
    click.echo(
        f"{units} units of {TOKENS} tokens, {LAYERS} layers of {D_MODEL}, "
        f"{size(run.nbytes)}, a unit:"
    )
    click.echo(f"extraction           {taken * 1e3:.1f} ms")
    click.echo(
        f"forward pass         {forward * 1e3:.1f} ms\nraw write            {raw * 1e3:.1f} ms"
    )
    click.echo(f"overhead             {(taken - forward - raw) * 1e3:.1f} ms")
    return run


def raw_write(folder: Path, nbytes: int) -> float:
    """Return the seconds that a file of ``nbytes`` takes, synced."""
    folder.mkdir()
    content = os.urandom(nbytes)
    start = time.perf_counter()
    for number in range(SAMPLE):
        with (folder / str(number)).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return (time.perf_counter() - start) / SAMPLE


def show_reading(run: Run, state: str) -> None:
    """Print opening, and a variance from a cold cache."""
    for path in (run.folder / "shards").iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    nbytes = Run(run.folder).nbytes
    store = run.folder.parents[1]
    command = [sys.executable, __file__, "--study", "--folder", str(store)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    click.echo(
        f"{state:20} opening {found['opening']:.2f} s, warm {found['warm']:.2f} s; variance of "
        f"{found['pairs']} words "
        f"{found['seconds']:.2f} s, read {size(found['read'])} of {size(nbytes)}: "
        f"{found['read'] / nbytes:.1%} "
        f"({size(found['read_opening'])} of it when opening), {size(found['memory'])} of memory "
        "above the open run"
    )


def studied(store: Path) -> dict[str, float]:
    """Open the run and compute the variance, counting what the kernel read for this process."""
    from actlas.analysis.data.tokens import Target, select_tokens
    from actlas.analysis.variance.compute import PROJECTIONS, variance_profile

    before = read_bytes()
    start = time.perf_counter()
    dataset = Store(store).run("it").dataset(PROJECTIONS)
    opening, read_opening = time.perf_counter() - start, read_bytes() - before
    start = time.perf_counter()
    Store(store).run("it").dataset(PROJECTIONS)
    warm = time.perf_counter() - start
    selection = select_tokens(dataset, Target(WORD))
    rest, start = memory("RssAnon"), time.perf_counter()
    variance_profile(dataset, selection).load()
    return {
        "opening": opening,
        "warm": warm,
        "pairs": len(selection.sentence),
        "seconds": time.perf_counter() - start,
        "read": read_bytes() - before,
        "read_opening": read_opening,
        "memory": memory("RssAnon") - rest,
    }


def read_bytes() -> int:
    """Return the bytes that were fetched from disks for this process."""
    line = next(
        line
        for line in Path("/proc/self/io").read_text().splitlines()
        if line.startswith("read_bytes")
    )
    return int(line.split()[1])


if __name__ == "__main__":
    main()
