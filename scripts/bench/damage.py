"""Damaged files: every sort of file is damaged at random, everybody reads it.

And what differs in silence is counted.

``python scripts/bench/damage.py`` makes the table of docs/reliability.md. A number that differs
from the undamaged one without an error or a warning is the one thing that must never be.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from actlas.scripts.bench.faults import IN_MEMORY, markdown
from actlas.scripts.bench.injection.damages import SITES_OF_DAMAGE, damage
from actlas.scripts.bench.injection.operations import (
    BASE,
    STORE,
    STUDIED,
    STUDY,
    extraction,
    inputs,
)
from actlas.scripts.bench.injection.process import imported
from actlas.scripts.bench.injection.readers import Seen, read_all
from actlas.scripts.bench.injection.state import state, told

LONGEST = 120  # seconds for all readers of one damage
HEAD = (
    "damage",
    "trials",
    "said in a line",
    "harmless",
    "read silently",
    "swept",
    "tracebacks",
    "crashes",
)
# in one of so many trials a study's command reads too: drawing takes longer than all else
COMPUTING = 5
MUCH = ("verify", "ls")  # tell of every problem in a line
EXPORTS = (
    ("export", "it", "{root}/it.h5", *STORE),
    ("export", "packed", "{root}/more.h5", *STORE, "--site", "resid"),
)


@dataclass(frozen=True)
class Trial:
    """One damage of one sort of file."""

    kind: str
    seed: int
    number: int

    @property
    def draw(self) -> str:
        """What its random choices are drawn from."""
        return f"{self.seed}/{self.kind}/{self.number}"


def make_base(root: Path) -> None:
    """Make a store, results, studies and exports."""
    root.mkdir()
    inputs(root)
    two = 'target = "her"\n\n[analyses.the]\nrun = "it"\nstage = "variance"\ntarget = "the"'
    (root / "study.toml").write_text(
        STUDY.format(first="her", options=f'stage = "variance"\n{two}')
    )
    (root / "other.toml").write_text(STUDY.format(first="variance", options='target = "rain"'))
    other = ("study", "run", "{root}/other.toml", "--out", "{root}/other", "--quiet")
    packed = (extraction("new.txt", "packed", "resid", "nll"), ("pack", "packed", *STORE))
    for words in (*BASE, *packed, STUDIED, other, *EXPORTS):
        status, _, errors = told(*(word.format(root=root) for word in words))
        if status:
            raise RuntimeError(f"{' '.join(words)}: {errors}")


@dataclass(frozen=True)
class Undamaged:
    """What readers see of the undamaged folder, and what is whole in it."""

    base: Path
    seen: dict[str, Seen]
    whole: dict[str, str]


def tried(trial: Trial, scratch: Path, undamaged: Undamaged) -> dict[str, Any]:
    """Do a trial, in this process; return what was done and what was amiss."""
    base = undamaged.base
    root = scratch / f"damaged-{trial.kind}-{trial.number}"
    shutil.copytree(base, root)
    done = damage(root, trial.kind, trial.draw)
    seen = read_all(root, trial.kind, computing=trial.number % COMPUTING == 0)
    amiss = {name: list(found(seen, undamaged.seen)) for name, found in FINDINGS.items()}
    if trial.kind in ("store", "names"):
        amiss["swept"] = list(swept(trial, base, root, undamaged.whole))
    said = [name for name, each in seen.items() if each.status and not undamaged.seen[name].status]
    if not any(amiss.values()):
        shutil.rmtree(root, ignore_errors=True)
    return {"damage": done.words, "said": said, "amiss": amiss, "folder": str(root)}


def silent(seen: dict[str, Seen], undamaged: dict[str, Seen]) -> Iterator[str]:
    """Yield readers that got another value than that of the undamaged folder, and no word of it."""
    for name, each in seen.items():
        wanted = undamaged[name]
        differing = [
            key
            for key, value in each.values.items()
            if wanted.values.get(key, "") not in (value, "to do")
        ]
        differing = [key for key in differing if each.values[key] != "to do"]
        if differing and not each.status and each.errors.strip() == wanted.errors.strip():
            yield f"{name} read {', '.join(differing[:3])} silently"


def unexplained(seen: dict[str, Seen], undamaged: dict[str, Seen]) -> Iterator[str]:
    """Yield readers that ended with a traceback, or failed without a line, or with many."""
    for name, each in seen.items():
        lines = [
            line for line in each.errors.strip().splitlines() if line not in undamaged[name].errors
        ]
        if each.traceback or "Traceback" in each.errors:
            yield f"{name}: {(each.traceback or each.errors).strip().splitlines()[-1][:300]}"
        elif each.status and len(lines) != 1 and not name.startswith(MUCH):
            yield (
                f"{name} ended with {each.status} and said {len(lines)} lines: "
                f"{each.errors.strip()[:300]}"
            )


def swept(trial: Trial, base: Path, root: Path, before: Mapping[str, str]) -> Iterator[str]:
    """Let ``gc`` clean the damaged store, put back what was damaged.

    And yield what is not as before: what gc took.
    """
    place = root.with_name(f"{root.name}-swept")
    shutil.copytree(base, place)
    done = damage(place, trial.kind, trial.draw)
    told("gc", "--store", f"{place}/store")
    for file in done.files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).unlink(missing_ok=True)
        shutil.copy2(base / file, place / file)
    after = state(place)
    shutil.rmtree(place, ignore_errors=True)
    gone = [
        thing
        for thing, digest in before.items()
        if not thing.startswith("file") and after.whole.get(thing) != digest
    ]
    if gone:
        yield f"gc took {len(gone)} things, such as {gone[0]}"


FINDINGS: dict[str, Callable[[dict[str, Seen], dict[str, Seen]], Iterator[str]]] = {
    "read silently": silent,
    "tracebacks": unexplained,
}


def in_child(work: Callable[[], object], answer: Path) -> int:
    """Start a child that leaves the JSON of what ``work`` returns in ``answer``.

    Return its number.
    """
    child = os.fork()
    if not child:
        signal.alarm(LONGEST)
        for number, part in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{answer}.{part}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        answer.write_text(json.dumps(work()))
        os._exit(0)
    return child


def all_tried(
    trials: Sequence[Trial], base: Path, scratch: Path, jobs: int
) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Yield each trial with what came of it, ``jobs`` at a time, each in a process of its own."""
    kinds = dict.fromkeys(trial.kind for trial in trials)
    undamaged = {kind: _undamaged(kind, base, scratch) for kind in kinds}
    waiting, running = list(reversed(trials)), dict[int, tuple[Trial, Path]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            answer = scratch / f"answer-{trial.kind}-{trial.number}"
            work = partial(tried, trial, scratch, undamaged[trial.kind])
            running[in_child(work, answer)] = (trial, answer)
        child, status = os.wait()
        trial, answer = running.pop(child)
        if status or not answer.exists():
            code = os.waitstatus_to_exitcode(status)
            errors = Path(f"{answer}.err").read_text(errors="replace")[-300:]
            amiss = {"crashes": [f"ended with {code}: {errors}"]}
            yield trial, {"damage": trial.draw, "said": [], "amiss": amiss, "folder": str(scratch)}
        else:
            yield trial, json.loads(answer.read_text())
        for path in scratch.glob(f"{answer.name}*"):
            path.unlink()


def _undamaged(kind: str, base: Path, scratch: Path) -> Undamaged:
    """Return what readers see of an undamaged copy, in a child.

    This process forks, and starts no threads.
    """
    root, answer = scratch / f"undamaged-{kind}", scratch / f"undamaged-{kind}.json"
    shutil.copytree(base, root)

    def look() -> dict[str, Any]:
        whole = state(root).whole
        return {
            "whole": whole,
            "seen": {name: asdict(each) for name, each in read_all(root, kind).items()},
        }

    os.waitpid(in_child(look, answer), 0)
    found = json.loads(answer.read_text())
    seen = {name: Seen(**each) for name, each in found["seen"].items()}
    failed = [
        f"{name}: {each.traceback or each.errors}" for name, each in seen.items() if each.status
    ]
    if [
        line for line in failed if not line.startswith("verify study")
    ]:  # a command that not every version has
        raise RuntimeError(f"at an undamaged folder: {failed}")
    return Undamaged(base, seen, found["whole"])


@click.command()
@click.option(
    "--trials", "count", default=300, show_default=True, help="Damages of each sort of file."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(list(SITES_OF_DAMAGE)), help="Only these."
)
@click.option("--number", "numbers", multiple=True, type=int, help="Only trials of these numbers.")
@click.option("--seed", default=0, show_default=True, help="Seed of all damages.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Trials at a time.")
def main(
    count: int, kinds: tuple[str, ...], numbers: tuple[int, ...], seed: int, jobs: int
) -> None:
    """Damage files at random.

    Fail if a number was read silently, something intact was swept, or anything crashed.
    """
    start = time.perf_counter()
    os.environ.update({"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"})
    scratch = Path(
        tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None, prefix="actlas-damage-")
    )
    os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
    imported()
    base = scratch / "base"
    _, status = os.waitpid(in_child(lambda: make_base(base), scratch / "made"), 0)
    if status:
        raise click.ClickException(Path(f"{scratch / 'made'}.err").read_text())
    trials = [
        Trial(kind, seed, n) for kind in kinds or SITES_OF_DAMAGE for n in numbers or range(count)
    ]
    rows: dict[str, Counter[str]] = {trial.kind: Counter() for trial in trials}
    for trial, found in all_tried(trials, base, scratch, jobs):
        counted(rows[trial.kind], trial, found)
    table = [[kind, *(row[name] for name in HEAD[1:])] for kind, row in rows.items()]
    click.echo(markdown(HEAD, table))
    click.echo(f"\n{len(trials)} damages, seed {seed}, in {time.perf_counter() - start:.0f} s")
    if any(row[name] for row in rows.values() for name in HEAD[4:]):
        click.echo(
            f"again: --seed {seed} --kind KIND --number N; folders are kept in {scratch}", err=True
        )
        sys.exit(1)
    shutil.rmtree(scratch)


def counted(row: Counter[str], trial: Trial, found: dict[str, Any]) -> None:
    """Count a trial, and tell of what was amiss."""
    amiss = {name: lines for name, lines in found["amiss"].items() if lines}
    row["trials"] += 1
    row["said in a line" if found["said"] else "harmless"] += not amiss
    row.update(amiss.keys())
    for name, lines in amiss.items():
        for line in lines:
            click.echo(
                f"{trial.draw} ({found['damage']}): {name}: {line} [{found['folder']}]", err=True
            )


if __name__ == "__main__":
    main()
