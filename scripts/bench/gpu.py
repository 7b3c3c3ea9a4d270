"""What a GPU gives: the CUDA tests, then extraction against the bare forward pass and the raw disk.

    python scripts/bench/gpu.py --write                 # with a GPU, eight minutes at most
    python scripts/bench/gpu.py --device cpu --small     # the same script where there is none

Random weights at the geometry of GPT-2 XL and of Llama 3.2 1B, float32 and bfloat16, into memory
and onto a disk; the same values as the CPU's; a sweep of skipped layers. What the time does not
allow is left out and named. ``--write`` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction.loop import extract_with
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan, plan_variants
from actlas.pipeline.inputs.tokens import Tokenized
from actlas.pipeline.models.folder import ModelFolder, load
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.scripts.bench.common.measuring import Measured
from actlas.scripts.bench.common.random_models import (
    CONFIGURATIONS,
    gpt2_configuration,
    random_folder,
)
from actlas.scripts.bench.common.synthetic import labels_of
from actlas.scripts.terminal.text import size
from actlas.store.catalog import Store
from actlas.store.labels.special import SpecialTokens

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model
    from actlas.store.runs.run import Run

ROOT = Path(__file__).resolve().parents[2]
PAGE, TITLE = ROOT / "docs" / "benchmarks.md", "## On a GPU"
LIMIT = 480  # seconds of it all
Geometries = Mapping[str, Mapping[str, Any]]  # name → config.json
GEOMETRIES: Geometries = {
    "GPT-2 XL": gpt2_configuration(48, 25, 1600),
    "Llama 1B": CONFIGURATIONS["llama-3.2-1b"],
}
SMALL: Geometries = {
    "GPT-2 XL": {**gpt2_configuration(2, 2, 64), "vocab_size": 3000},
    "Llama 1B": {
        **CONFIGURATIONS["llama-3.2-1b"],
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 3000,
    },
}
HEAD = (
    "geometry",
    "dtype",
    "onto",
    "forward s",
    "extraction s",
    "ratio",
    "GB/s",
    "raw GB/s",
    "memory",
)


@dataclass(frozen=True)
class Bench:
    """A machine: its device, where to write, how much, and when it has to be done."""

    device: torch.device
    places: dict[str, Path]
    sentences: int
    tokens: int
    runs: int
    end: float  # of time.monotonic

    def fits(self, seconds: float) -> bool:
        """Whether there is time for so many seconds more."""
        return time.monotonic() + seconds < self.end


@click.command()
@click.option("--device", default="cuda", show_default=True)
@click.option("--small", is_flag=True, help="Toy geometries: whether the script runs, no speed.")
@click.option(
    "--disk", type=click.Path(path_type=Path), help="Folder on a disk.  [default: temporary]"
)
@click.option("--write", is_flag=True, help="Put the table into docs/benchmarks.md.")
def main(device: str, small: bool, disk: Path | None, write: bool) -> None:
    """Measure extraction on a GPU."""
    import torch

    if small and write:
        raise click.UsageError("--small measures no speed: leave --write out")
    end = time.monotonic() + LIMIT
    chosen = torch.device(device)
    lines = [tests_line(chosen)]
    with (
        tempfile.TemporaryDirectory(dir=disk) as on_disk,
        tempfile.TemporaryDirectory(dir="/dev/shm") as in_memory,
    ):
        places = {"memory": Path(in_memory), "disk": Path(on_disk)}
        bench = Bench(chosen, places, *((6, 8, 1) if small else (64, 128, 2)), end)
        rows = list(measured(bench, SMALL if small else GEOMETRIES, lines))
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "the CPU, in its stead"
    text = report(f"{name}, torch {torch.__version__}, {os.cpu_count()} cores", rows, lines)
    click.echo(text)
    if write:
        page = PAGE.read_text(encoding="utf-8")
        rest = re.sub(rf"{TITLE}\n.*?(?=^## |\Z)", "", page, flags=re.DOTALL | re.MULTILINE)
        PAGE.write_text(f"{rest.rstrip()}\n\n{text}", encoding="utf-8")


def report(machine: str, rows: list[tuple[str, ...]], lines: list[str]) -> str:
    """Return the section of the page."""
    table = [HEAD, tuple("---" for _ in HEAD), *rows]
    cells = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return f"{TITLE}\n\n{machine}.\n\n{cells}\n\n" + "".join(f"- {line}\n" for line in lines)


def tests_line(device: torch.device) -> str:
    """Run the CUDA tests and return what came of them."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/pipeline/test_cuda.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT // 2)
    if device.type == "cuda" and done.returncode:
        raise click.ClickException(f"the CUDA tests failed:\n{done.stdout[-2000:]}")
    return f"CUDA tests: {done.stdout.strip().splitlines()[-1].strip('= ')}"


def measured(bench: Bench, geometries: Geometries, lines: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each geometry, precision and place; ``lines`` get the rest."""
    import torch

    for name, config in geometries.items():
        with tempfile.TemporaryDirectory(dir=bench.places["memory"]) as scratch:
            folder = random_folder(Path(scratch), config)
            for dtype in (torch.float32, torch.bfloat16):
                started = time.monotonic()
                model = load(folder, dtype=dtype, device=bench.device, attention="sdpa")
                for place, where in bench.places.items():
                    if bench.fits(time.monotonic() - started):
                        names = (name, str(dtype).removeprefix("torch."), place)
                        yield *names, *speed(bench, model, folder, where)
                    else:
                        lines.append(f"no time was left for {name}, {dtype}, onto {place}")
                if dtype == torch.float32 and bench.fits(time.monotonic() - started):
                    lines.append(f"{name}: {same_values(bench, model, folder)}")
                    if "GPT" in name:
                        lines.append(f"{name}: {sweep(bench, model, folder)}")
                del model


def speed(bench: Bench, model: Model, folder: ModelFolder, where: Path) -> tuple[str, ...]:
    """Return the cells of a row after its names."""
    import torch

    labels = labels_of(bench.sentences, bench.tokens, folder.geometry.vocabulary)
    ids = torch.from_numpy(labels.token["token_id"].reshape(bench.sentences, -1)).long()
    ids, part = ids.to(bench.device), max(1, 2048 // bench.tokens)
    forward, extraction, nbytes = Measured(), Measured(anonymous=True), 0
    for number in range(bench.runs + 1):
        only = not number and not bench.fits(60)  # the first is not counted where there are others
        forward.add(
            partial(timed, bench, lambda: bare(model, ids.split(part))),
            counted=number > 0 or only,
        )
        with tempfile.TemporaryDirectory(dir=where) as place:
            run, work = prepared(bench, model, folder, Path(place), bench.sentences)
            extraction.add(partial(timed, bench, work), counted=number > 0 or only)
            nbytes = run.nbytes
        if only:
            break
    raw, rate = raw_speed(where, min(nbytes, 4 << 30)), nbytes / extraction.median / 1e9
    one, other = forward.median, extraction.median
    cells = (f"{one:.2f}", f"{other:.2f}", f"**{other / one:.2f}**", f"{rate:.2f}", f"{raw:.2f}")
    return *cells, size(extraction.peak)


def bare(model: Model, batches: Sequence[torch.Tensor]) -> None:
    """Run the model on each of ``batches`` (sentence, position) as anybody would, with logits."""
    import torch

    with torch.inference_mode():
        for ids in batches:
            model(input_ids=ids, use_cache=False)


def timed(bench: Bench, work: Callable[[], object]) -> float:
    """Return the seconds of ``work``, with what it left to the device."""
    import torch

    start = time.perf_counter()
    work()
    if bench.device.type == "cuda":
        torch.cuda.synchronize(bench.device)
    return time.perf_counter() - start


def prepared(
    bench: Bench, model: Model, folder: ModelFolder, place: Path, sentences: int, edit: str = ""
) -> tuple[Run, Callable[[], object]]:
    """Return a planned run of the default sites, a variant where there is an edit, and its work."""
    labels = labels_of(sentences, bench.tokens, folder.geometry.vocabulary)
    store, tokens = Store.create(place), Tokenized(labels, (), SpecialTokens(), "")
    dtype: Any = str(model.dtype).removeprefix("torch.")
    options = ExtractOptions(DEFAULT_SITES, dtype=dtype, by_default=DEFAULT_SITES, attention="sdpa")
    plan = make_plan(store, folder, tokens, "random", options)
    if edit:
        (plan,) = plan_variants(plan, [(parse_edit(edit),)])
    run = store.add(plan.specification, plan.description, plan.units)
    return run, partial(extract_with, model, plan, run)


def extracted(
    bench: Bench, model: Model, folder: ModelFolder, place: Path, sentences: int, edit: str = ""
) -> tuple[Run, float]:
    """Return a run that is made now, and what it took."""
    run, work = prepared(bench, model, folder, place, sentences, edit)
    return run, timed(bench, work)


def same_values(bench: Bench, model: Model, folder: ModelFolder) -> str:
    """Return how far the values of four sentences are from those of the CPU."""
    import torch

    cpu = load(folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    with tempfile.TemporaryDirectory(dir=bench.places["memory"]) as place:
        one, _ = extracted(bench, model, folder, Path(place) / "a", 4)
        other, _ = extracted(
            replace(bench, device=torch.device("cpu")), cpu, folder, Path(place) / "b", 4
        )
        found = []
        for site in one.sites:
            a, b = (run.dataset([site])[site] for run in (one, other))
            found.append(f"{site} {float(abs(a - b).max()) / float(abs(b).max()):.1e}")
    return f"largest difference to the CPU over the largest value: {', '.join(found)}"


def sweep(bench: Bench, model: Model, folder: ModelFolder) -> str:
    """Return what skipping a layer takes of a whole extraction, at the first, middle and last."""
    blocks = folder.geometry.n_layer
    with tempfile.TemporaryDirectory(dir=bench.places["memory"]) as place:
        _, whole = extracted(bench, model, folder, Path(place), bench.sentences)
        shares = []
        for layer in sorted({0, blocks // 2, blocks - 1}):
            edit = f"skip:layer={layer}"
            _, seconds = extracted(bench, model, folder, Path(place), bench.sentences, edit)
            shares.append(f"layer {layer} {seconds / whole:.2f}")
    return f"a variant that skips a layer, over the run without edits: {', '.join(shares)}"


def raw_speed(folder: Path, nbytes: int) -> float:
    """Return the GB/s at which a file is written and synced."""
    content, done = os.urandom(16 << 20), 0
    start = time.perf_counter()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        while done < nbytes:
            done += file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return done / (time.perf_counter() - start) / 1e9


if __name__ == "__main__":
    main()
