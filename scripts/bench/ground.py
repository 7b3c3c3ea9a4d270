"""The ground on which extractions are hurt: one small run, how it looks uninterrupted, and what must hold after any harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from actlas.scripts.bench.power import Step
from actlas.store.catalog import Store
from actlas.store.checking import verify
from actlas.store.commit import read_commit
from actlas.store.errors import UsageError

SENTENCES, UNIT_TOKENS, SITES = 6, 60, ("q", "nll")
SENTENCE = "When the rain began, Tom gave her coat number {} and walked home."
LONGEST = 60.0  # seconds that any command may take

#: what a unit is: of each site offset and checksums, of the rest one
Unit = tuple[object, ...]


@dataclass(frozen=True)
class Answer:
    """How a command ended; a signal that ended it is negative."""

    status: int
    seconds: float
    output: str
    errors: str


@dataclass(frozen=True)
class Outcome:
    """One trial: units committed when it was looked at, of those lost and wrong afterwards, and what else is amiss."""

    committed: int
    lost: int
    wrong: int
    complaints: tuple[str, ...] = ()


class Victim:
    """A server of hurt commands, see ``victim.py``; ``prefix`` are words to start it with, such as another namespace."""

    def __init__(self, scratch: Path, prefix: Sequence[str] = ()) -> None:
        self._answer = scratch / f"answer-{os.urandom(4).hex()}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
        self._server = subprocess.Popen(
            [*prefix, sys.executable, "-m", "actlas.scripts.bench.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, which ends with its orders."""
        self._server.communicate()

    def start(self, store: Path, command: Sequence[str], **order: Any) -> None:
        """Give an order: a command on a store, and what is to happen to it."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"store": str(store), "command": command, "answer": str(self._answer), **order}))
        self._server.stdin.write("\n")
        self._server.stdin.flush()

    def wait(self) -> Answer:
        """Return how the order ended."""
        said = json.loads(self._read())
        output, errors = (Path(f"{self._answer}.{part}").read_text(errors="replace") for part in ("out", "err"))
        return Answer(said["status"], said["seconds"], output, errors)

    def _read(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("the server of hurt commands ended: see above")
        return line


class Ground:
    """A scratch folder, a victim, and the run that an uninterrupted extraction makes."""

    def __init__(self, scratch: Path, victim: Victim) -> None:
        self.scratch, self.victim = scratch, victim
        self._number = 0
        self.sentences = scratch / "sentences.txt"
        self.sentences.write_text("".join(SENTENCE.format(number) + "\n" for number in range(SENTENCES)))
        self.steps: list[Step] = []
        self.seconds = 0.0
        whole, record = self.new(), scratch / "steps"
        self.run(whole)  # once unrecorded: caches outside the store are filled
        whole = self.new()
        answer = self.run(whole, harm={"record": str(record)})
        if answer.status:
            raise RuntimeError(f"an extraction that nobody hurt failed: {answer.errors}")
        self.steps = [json.loads(line) for line in record.read_text().splitlines()]
        self.seconds = answer.seconds
        self.whole = units(whole)
        self.path = whole

    def new(self) -> Path:
        """Return a place for another store."""
        self._number += 1
        return self.scratch / f"store-{self._number}"

    def extraction(self, store: Path, *options: str) -> list[str]:
        """Return the words of the extraction."""
        sites = [word for site in SITES for word in ("--site", site)]
        fixed = ["--model", "demo", "--device", "cpu", "--unit-tokens", str(UNIT_TOKENS), "--name", "it", "--quiet"]
        return ["extract", str(self.sentences), "--store", str(store), *fixed, *(options or sites)]

    def run(self, store: Path, *options: str, **order: Any) -> Answer:
        """Extract into ``store``, hurt as ``order`` says."""
        self.victim.start(store, self.extraction(store, *options), **order)
        return self.victim.wait()

    def outcome(self, store: Path, answer: Answer | None = None, least: frozenset[str] = frozenset()) -> Outcome:
        """Look at a hurt store, let the same command finish it, look again; ``least`` are commits that must be there."""
        complaints = list(complaint(answer)) if answer else []
        before, problems = self.look(store)
        lost = len(least - before.keys())
        again = self.run(store)
        if again.status:
            complaints.append(f"resuming failed: {again.errors.strip()[-300:]}")
        after, later = self.look(store)
        lost += len([name for name in before if name not in after])
        wrong = len([name for name, unit in before.items() if after.get(name, unit) != unit])
        wrong += len([name for name, unit in after.items() if self.whole.get(name) != unit]) + len(problems) + len(later)
        complaints += [*problems, *later]
        if not again.status:
            complaints += leftovers(store) if before.keys() != self.whole.keys() else []  # swept by who has to write
            lost += len(self.whole.keys() - after.keys())
        return Outcome(len(before), lost, wrong, tuple(complaints))

    def look(self, store: Path) -> tuple[dict[str, Unit], list[str]]:
        """Return the committed units of a store and the problems that verification finds."""
        try:
            runs = Store(store).runs()
        except UsageError:
            return {}, []
        return units(store), [problem for run in runs for checked in verify(run) for problem in checked.problems]


def units(store: Path) -> dict[str, Unit]:
    """Return commit → what it holds, by offsets and checksums."""
    held: dict[str, Unit] = {}
    for path in sorted(store.glob("runs/*/commits/*.json")):
        commit = read_commit(path)
        sites = tuple((name, site.offset, site.checksums) for name, site in sorted(commit.sites.items()))
        held[path.name] = (commit.unit, commit.size, commit.rest, sites)
    return held


def leftovers(store: Path) -> list[str]:
    """Return what lies about in a store although nobody works on it."""
    found = list(store.glob("runs/*/tmp/*"))
    for run in store.glob("runs/*"):
        committed = {read_commit(path).file for path in run.glob("commits/*.json")}
        found += [shard for shard in run.glob("shards/*") if shard.name not in committed]
    return [f"{path} was left behind" for path in found]


def complaint(answer: Answer) -> list[str]:
    """Return what a user would mind in how a command ended: a traceback, or anything but one line for a failure."""
    lines = answer.errors.strip().splitlines()
    if "Traceback" in answer.errors or (answer.status > 0 and len(lines) != 1) or answer.seconds > LONGEST:
        return [f"ended with {answer.status} after {answer.seconds:.1f} s and said: {answer.errors.strip()[-400:]}"]
    return []
