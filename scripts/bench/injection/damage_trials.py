"""Trials of damage: a copy is damaged, everybody reads it, and what is amiss is listed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actlas.scripts.bench.injection.damages import damage
from actlas.scripts.bench.injection.readers import Seen, read_all
from actlas.scripts.bench.injection.state import run_here, state

LONGEST = 120  # seconds for all readers of one damage


# in one of so many trials a study's command reads too: drawing takes longer than all else
COMPUTING = 5


MUCH = ("verify", "ls")  # report every problem in a line


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
        amiss["collected"] = list(collected(trial, base, root, undamaged.whole))
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


def collected(trial: Trial, base: Path, root: Path, before: Mapping[str, str]) -> Iterator[str]:
    """Let ``gc`` clean the damaged store, put back what was damaged.

    Yields what is not as before: what ``gc`` took.
    """
    place = root.with_name(f"{root.name}-collected")
    shutil.copytree(base, place)
    done = damage(place, trial.kind, trial.draw)
    run_here("gc", "--store", f"{place}/store")
    for file in done.files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).unlink(missing_ok=True)
        shutil.copy2(base / file, place / file)
    after = state(place)
    shutil.rmtree(place, ignore_errors=True)
    taken = [
        thing
        for thing, digest in before.items()
        if not thing.startswith("file") and after.whole.get(thing) != digest
    ]
    if taken:
        yield f"gc took {len(taken)} things, such as {taken[0]}"


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
        # a process each: a crash of HDF5 or a hang ends one trial, not the benchmark
        while waiting and len(running) < jobs:
            trial = waiting.pop()
            answer = scratch / f"answer-{trial.kind}-{trial.number}"
            work = partial(tried, trial, scratch, undamaged[trial.kind])
            running[in_child(work, answer)] = (trial, answer)
        # os.wait gives whichever child ended first
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
    # a command that not every version has
    if [line for line in failed if not line.startswith("verify study")]:
        raise RuntimeError(f"at an undamaged folder: {failed}")
    return Undamaged(base, seen, found["whole"])
