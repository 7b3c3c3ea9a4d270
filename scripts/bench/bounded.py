"""Peak memory of commands at 10⁵ and at 10⁶ tokens: what grows with the run is seen here.

    python scripts/bench/bounded.py

A random GPT-2 of 2 layers of 32, sentences of twenty words with ``her`` in each. Every command is a
process of its own. Its peak is that of its anonymous memory: pages of mapped files are the
system's, which takes them back when it needs them. Bytes a token are the growth from the smaller
run to the larger.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from actlas.scripts.bench.common.random_models import gpt2_configuration, random_folder
from actlas.scripts.terminal.text import size, table

LAYERS, HEADS, D_MODEL = 2, 2, 32
VOCABULARY, POSITIONS = 1254, 64  # of the tokenizer of the model that comes with actlas
WORDS = ("we", "saw", "the", "cup", "on", "a", "table", "and", "he", "gave", "it", "to", "them")
SENTENCE = 20  # words, about as many tokens
SAMPLING = 0.01  # seconds between two looks at a process
MOST = 1.20  # of the smaller run's peak
COMMANDS = {
    "extract": ("extract", "{input}", "--model", "{model}", "--store", "{store}", "--name", "it"),
    "norms": ("norms", "it", "--store", "{store}", "--out", "{results}"),
    "variance": ("variance", "it", "--store", "{store}", "--out", "{results}", "--target", "her"),
    "cosine": ("cosine", "it", "--store", "{store}", "--out", "{results}", "--target", "her"),
    "verify": ("verify", "it", "--store", "{store}"),
    "report": ("report", "{results}", "--store", "{store}"),
}


@dataclass(frozen=True)
class Peak:
    """What a command took: seconds, and bytes of anonymous and of all memory at its peak."""

    seconds: float
    anonymous: int
    resident: int


@click.command()
@click.option("--tokens", "sizes", type=int, multiple=True, default=(10**5, 10**6))
@click.option("--only", multiple=True, type=click.Choice(list(COMMANDS)), help="May be repeated.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the stores in this folder.")
def main(sizes: tuple[int, ...], only: tuple[str, ...], keep: Path | None) -> None:
    """Measure each command on the smaller and on the larger run."""
    found: dict[int, dict[str, Peak]] = {}
    with tempfile.TemporaryDirectory(prefix="actlas-bench-") as scratch:
        place = keep or Path(scratch)
        model = tiny_model(place / "model")
        for tokens in sizes:
            found[tokens] = measured(place / str(tokens), model, tokens, only or tuple(COMMANDS))
    show(found)


def tiny_model(folder: Path) -> Path:
    """Save a random model with the tokenizer of the one that comes with actlas."""
    if folder.is_dir():
        return folder
    demo = Path(__file__).parents[2] / "pipeline" / "demo_model"
    config = gpt2_configuration(LAYERS, HEADS, D_MODEL)
    random_folder(folder, {**config, "vocab_size": VOCABULARY, "n_positions": POSITIONS})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo / name, folder / name)
    return folder


def measured(folder: Path, model: Path, tokens: int, commands: tuple[str, ...]) -> dict[str, Peak]:
    """Run ``commands`` on sentences of about ``tokens`` tokens."""
    folder.mkdir(exist_ok=True)
    names = {"input": folder / "input.txt", "model": model, "store": folder / "store"}
    names["results"] = folder / "results"
    if not names["input"].exists():
        write_sentences(names["input"], tokens)
    found = {}
    for command in commands:
        arguments = [part.format(**names) for part in COMMANDS[command]]
        peak = found[command] = peak_of(arguments)
        took = f"{size(peak.anonymous)} in {peak.seconds:.1f} s"
        click.echo(f"{tokens:>9} tokens  {command}: {took}", err=True)
    return found


def write_sentences(path: Path, tokens: int) -> None:
    """Write sentences of random words, each with the one that the studies look at."""
    generator, words = np.random.default_rng(0), np.array(WORDS)
    with path.open("w") as file:
        for number in range(tokens // SENTENCE):
            chosen = words[generator.integers(0, len(words), SENTENCE - 2)].tolist()
            chosen.insert(int(generator.integers(1, len(chosen))), "her")
            file.write(f"{' '.join(chosen)} {number % 10}\n")


def peak_of(arguments: list[str]) -> Peak:
    """Run ``actlas`` with ``arguments`` and watch its memory; raises where it fails."""
    start, anonymous, resident = time.perf_counter(), 0, 0
    command = [sys.executable, "-c", "from actlas.scripts.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "100"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        while process.poll() is None:
            anonymous = max(anonymous, field_of(process.pid, "RssAnon"))
            resident = max(resident, field_of(process.pid, "VmHWM"))
            time.sleep(SAMPLING)
        if process.returncode:
            output.seek(0)
            raise click.ClickException(f"{' '.join(arguments)}: {output.read().decode()}")
    return Peak(time.perf_counter() - start, anonymous, resident)


def field_of(process: int, name: str) -> int:
    """Return a field of a process's status in bytes, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def show(found: dict[int, dict[str, Peak]]) -> None:
    """Print the peaks side by side, the ratio and the growth."""
    sizes = sorted(found)
    small, large = sizes[0], sizes[-1]
    rows = []
    for command, least in found[small].items():
        most = found[large][command]
        grown = (most.anonymous - least.anonymous) / max(1, large - small)
        rows.append(
            (
                command,
                *(size(found[tokens][command].anonymous) for tokens in sizes),
                f"{most.anonymous / least.anonymous:.2f}",
                f"{grown:.0f}",
                *(size(found[tokens][command].resident) for tokens in sizes),
                *(f"{found[tokens][command].seconds:.1f}" for tokens in sizes),
            )
        )
    header = ("command", *(f"{tokens} tokens" for tokens in sizes), "ratio", "bytes a token")
    seen = (*(f"with files {tokens}" for tokens in sizes), *(f"s {tokens}" for tokens in sizes))
    click.echo(table((*header, *seen), rows))
    ratios = [float(row[len(sizes) + 1]) for row in rows]
    click.echo(f"largest ratio {max(ratios):.2f}, expected at most {MOST:.2f}")


if __name__ == "__main__":
    main()
