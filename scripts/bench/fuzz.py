"""Fuzz what parses bytes from elsewhere: ``python scripts/bench/fuzz.py TARGET --seconds 60``.

With atheris installed (``pip install atheris``) inputs are led by coverage; without it they are
seeds and the kept corpus of ``tests/fuzz/corpus``, changed at random. Each kind of violation is
shown once, with the input that made it.
"""

from __future__ import annotations

import importlib
import importlib.util
import mmap
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from actlas.scripts.bench.inputs.targets import Fuzzed, Violation

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "fuzz" / "corpus"


class Findings:
    """Violations by kind, each with the first input that made it, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kinds, self.inputs = folder, dict[str, "Violation"](), 0
        self._start = time.perf_counter()

    def add(self, content: bytes, violations: list[Violation]) -> None:
        """Count an input, and keep it if what it did is new."""
        self.inputs += 1
        for each in violations:
            kind = f"{each.command}: {each.kind}"
            if kind not in self.kinds:
                self.kinds[kind] = each
                name = "".join(letter if letter.isalnum() else "-" for letter in kind)[:100]
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_bytes(content)
                last = each.text.strip().splitlines()[-1:] or [""]
                click.echo(f"{kind}: {last[0][:300]} [{self.folder / name}]", err=True)

    def row(self, target: str, kinds: int) -> str:
        """Return the row of a table."""
        return f"| {target} | {self.inputs} | {time.perf_counter() - self._start:.0f} | {kinds} |"


@click.command()
@click.argument("target")
@click.option("--seconds", default=60, show_default=True, help="How long.")
@click.option("--seed", default=0, show_default=True, help="Seed of random changes.")
@click.option(
    "--corpus", type=click.Path(path_type=Path), help="Further inputs to start from, a folder."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), default=Path("fuzz-findings"), show_default=True
)
@click.option(
    "--random", "at_random", is_flag=True, help="Change at random although atheris is there."
)
def main(
    target: str, seconds: int, seed: int, corpus: Path | None, keep: Path, at_random: bool
) -> None:
    """Fuzz TARGET, or `all` of them one after the other.

    Print target, inputs, seconds, kinds of violations.
    """
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1")
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="0")
    guided = not at_random and importlib.util.find_spec("atheris") is not None
    if guided:
        atheris: Any = importlib.import_module("atheris")  # not among what CI installs
        # what is imported in this block is instrumented for coverage, and nothing later
        with atheris.instrument_imports(include=["actlas"]):
            from actlas.scripts.bench.inputs import targets as fuzzing
    else:
        from actlas.scripts.bench.inputs import targets as fuzzing
    if target != "all" and target not in fuzzing.TARGETS:
        raise click.UsageError(
            f"unknown target {target!r}: known: all, {', '.join(fuzzing.TARGETS)}"
        )
    root = Path(tempfile.mkdtemp(prefix="actlas-fuzz-")) / "root"
    os.environ["XDG_CACHE_HOME"] = str(root.parent / "cache")
    fuzzing.make_root(root)
    failed = False
    for name in list(fuzzing.TARGETS) if target == "all" else [target]:
        place = fuzzing.Fuzzed(name, root)
        if not place.there:
            continue
        findings = Findings(keep / name)
        inputs = [
            place.seed,
            *kept(name),
            *([path.read_bytes() for path in corpus.iterdir()] if corpus else []),
        ]
        if guided and target != "all":  # it ends the process
            led_by_coverage(name, place, findings, inputs, seconds)
        changed_at_random(place, findings, inputs, seconds, seed)
        click.echo(findings.row(name, len(findings.kinds)))
        failed |= bool(findings.kinds)
    sys.exit(failed)


def kept(target: str) -> list[bytes]:
    """Return the kept inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


def changed_at_random(
    place: Fuzzed, findings: Findings, inputs: list[bytes], seconds: float, seed: int
) -> None:
    """Give all inputs as they are, then changed at random until the time is over."""
    from actlas.scripts.bench.inputs.mutation import mutated

    generator, end = random.Random(seed), time.monotonic() + seconds
    for content in inputs:
        findings.add(content, place.violations(content))
    while time.monotonic() < end:
        content = mutated(generator.choice(inputs), generator, generator.choice(inputs))
        findings.add(content, place.violations(content))


def led_by_coverage(
    name: str, place: Fuzzed, findings: Findings, inputs: list[bytes], seconds: int
) -> NoReturn:
    """Let atheris change inputs, its way and ours by turns; ends the process."""
    from actlas.scripts.bench.inputs.mutation import mutated

    atheris: Any = importlib.import_module("atheris")
    folder = place.root.parent / "corpus"
    folder.mkdir()
    for number, content in enumerate(inputs):
        (folder / str(number)).write_bytes(content)

    inputs_run = mmap.mmap(-1, 8)  # shared with the child

    def once(content: bytes) -> None:
        findings.add(content, place.violations(content))
        inputs_run[:] = findings.inputs.to_bytes(8, "little")

    def change(content: bytes, most: int, seed: int) -> bytes:
        generator = random.Random(seed)
        own: Callable[[bytes, int], Any] = atheris.Mutate
        # every other change is ours, which knows JSON; atheris' own only knows bytes
        return bytes(
            own(content, most)
            if seed % 2
            else mutated(content, generator, generator.choice(inputs))[:most]
        )

    limits = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=6000", "-max_len=200000"]
    # a child, because Fuzz never returns: the parent counts the findings
    child = os.fork()
    if not child:  # it ends by itself, in C
        atheris.Setup(
            [sys.argv[0], str(folder), *limits, f"-artifact_prefix={folder}/"],
            once,
            custom_mutator=change,
        )
        atheris.Fuzz()
    _, status = os.waitpid(child, 0)
    kinds = len(list(findings.folder.glob("*")))
    findings.inputs = int.from_bytes(inputs_run[:], "little")
    click.echo(findings.row(name, kinds))
    sys.exit(1 if kinds or status else 0)


if __name__ == "__main__":
    main()
