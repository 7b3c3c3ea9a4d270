"""What opening a packed run of many units costs, without the hours of making one unit by unit.

    python scripts/bench/store/packed.py --units 1000 --units 10000 --units 100000 --folder /dev/shm
    python scripts/bench/store/packed.py --units 100000 --sentences 10  # 10⁷ tokens

One packed shard and its record are written directly, as ``actlas pack`` would have left them; its
numbers are the same few random rows again and again. Each run is opened in a process of its own:
first its record is parsed, then each number is the least of three, with a newly opened run. Memory
is anonymous memory: of the open run, and what a search adds at its end.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.pipeline.models.sites import layout
from actlas.scripts.bench.common.measuring import memory, seconds_of
from actlas.scripts.bench.common.synthetic import WORD
from actlas.scripts.bench.scaling import GEOMETRY, SITES, TOKENS, rare_labels
from actlas.scripts.terminal.text import table
from actlas.store import Run, Store
from actlas.store.format.pools import Origin
from actlas.store.format.schema import Unit
from actlas.store.io.durable import publish_file
from actlas.store.io.workspace import workspace
from actlas.store.runs.commits import publish_packed, with_tail
from actlas.store.runs.packed import packing_lock
from actlas.store.writing.multi_unit import write_units
from actlas.store.writing.shard import ShardWriter

REPEATS = 3


@click.command()
@click.option(
    "--units",
    "sizes",
    type=int,
    multiple=True,
    default=(1000, 10000),
    show_default=True,
    help="Units of a run.",
)
@click.option(
    "--sentences", default=1, show_default=True, help="Sentences of a unit, of ten tokens each."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to make the runs.  [default: that of temporary files]",
)
def main(sizes: tuple[int, ...], sentences: int, folder: Path | None) -> None:
    """Measure opening, resuming and searching of packed runs."""
    columns = []
    spawn = multiprocessing.get_context("spawn")
    for units in sizes:
        with tempfile.TemporaryDirectory(dir=folder, prefix="actlas-bench-") as scratch:
            place = packed_run(Path(scratch), units, sentences)
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                columns.append(list(process.submit(measured, place).result().items()))
    rows = [
        (row[0][0], *(f"{number:.3f}" for _, number in row)) for row in zip(*columns, strict=True)
    ]
    click.echo(table(("seconds", *(f"{units} units" for units in sizes)), rows))


def packed_run(store: Path, units: int, sentences: int = 1) -> Path:
    """Return the folder of a run of ``units``, each of so many ``sentences``.

    In one packed shard.
    """
    tokens = sentences * TOKENS
    plan = [Unit(number, number * sentences, sentences, tokens) for number in range(units)]
    description = {"created": "", "model": {}, "source": "random", "actlas": ""}
    run = Store.create(store).add({"random": GEOMETRY.sizes, "units": units}, description, plan)
    layouts = [layout(site, GEOMETRY, units * tokens, "float32") for site in SITES]
    rows = np.random.default_rng(0).standard_normal(
        (tokens, *layouts[0].block_shape[1:]), dtype=np.float32
    )
    with workspace(run.folder) as work, packing_lock(run.folder):
        writer = ShardWriter(
            work.folder / f"00000000-pack0-{work.token}.h5",
            layouts,
            rare_labels(units * sentences),
            {},
        )
        shard, name = write_units(writer, layouts, plan, lambda *_: rows), writer.path.name
        record, tail = with_tail(shard.commit(run.id, name, [Origin({})] * units))
        writer.close(tail)
        publish_file(writer.path, run.folder / "shards" / name)
        publish_packed(run.folder, record, work.folder)
    return run.folder


def measured(folder: Path) -> dict[str, float]:
    """Return what was done with the run → its seconds, and memory in MB."""
    before, start = memory("RssAnon"), time.perf_counter()
    dataset = Run(folder).dataset(SITES)
    first, opened = time.perf_counter() - start, memory("RssAnon")
    selection = select_tokens(dataset, Target(WORD))
    searched = memory("RssAnon")
    del selection
    return {
        "opening, its record parsed": first,
        "memory of it, MB": (opened - before) / 1e6,
        "further memory of a search, MB": (searched - opened) / 1e6,
        "resuming (missing)": least(lambda: Run(folder).missing(SITES)),
        "opening (dataset)": least(lambda: Run(folder).dataset(SITES)),
        "target search": least(lambda: select_tokens(dataset, Target(WORD))),
        "every commit": least(lambda: Run(folder).commits),
    }


def least(work: Callable[[], object]) -> float:
    """Return the least seconds of ``work``: others use the machine too."""
    return min(seconds_of(work, REPEATS))


if __name__ == "__main__":
    main()
