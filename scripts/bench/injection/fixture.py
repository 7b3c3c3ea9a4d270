"""The fixture of trials: a command, and the folder that it is hurt in.

What lay there before, what an unhurt one makes of it, and what holds after harm.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlas.scripts.bench.injection.harm import MUST_BE_REPORTED
from actlas.scripts.bench.injection.operations import BASE, OPERATIONS, STORE, inputs
from actlas.scripts.bench.injection.power import Step
from actlas.scripts.bench.injection.process import CRASHED
from actlas.scripts.bench.injection.server import Answer, CommandServer
from actlas.scripts.bench.injection.state import State

LONGEST = 60.0  # seconds that any command may take
USUAL_ENDS = (0, 1, 2, 130)
KILLED = -9


@dataclass(frozen=True)
class Outcome:
    """One trial: things whole when it was looked at, of what was there lost and wrong.

    It also says what else is amiss.
    """

    valid: int
    lost: int = 0
    wrong: int = 0
    tracebacks: int = 0
    crashes: int = 0
    complaints: tuple[str, ...] = ()
    kept: str = ""  # the folder, where something is amiss


class Fixture:
    """An operation, the folder that it starts from, and what an unhurt one leaves."""

    def __init__(self, name: str, base: Path, scratch: Path, server: CommandServer) -> None:
        self.name, self.operation = name, OPERATIONS[name]
        self.base = scratch / f"base-{name.replace(' ', '-')}"
        shutil.copytree(base, self.base)
        self._prepare(server)
        self.before = server.look(self.base)
        done, record = scratch / f"done-{name.replace(' ', '-')}", scratch / "steps"
        self._finish(server, done, {})  # once unrecorded: caches outside are filled
        shutil.rmtree(done)
        answer = self._finish(server, done, {"record": str(record)})
        self.steps: list[Step] = [json.loads(line) for line in record.read_text().splitlines()]
        self.said = answer.errors.splitlines()
        self.status, self.seconds = answer.status, answer.seconds
        self.after = server.look(done)
        shutil.rmtree(done)
        # a second time, counting the calls that read: harm of the two kinds is numbered apart
        answer = self._finish(server, done, {"record": str(record), "reads": True})
        self.reads = len(record.read_text().splitlines())
        shutil.rmtree(done)
        shutil.copytree(self.base, done)
        self.allocations = self.run(server, done, allocation=-1).allocations
        self.done = done

    def run(self, server: CommandServer, root: Path, **order: Any) -> Answer:
        """Give the operation's command, hurt as ``order`` says."""
        return server.run(
            root, self.operation.words, constants=dict(self.operation.constants), **order
        )

    def judge(
        self, server: CommandServer, root: Path, answer: Answer | None, least: State | None = None
    ) -> Outcome:
        """Look at what a trial left, let the same command finish it, look again.

        least: what must be there, where that is more than what was there before.
        """
        complaints, tracebacks, crashes = ended(self, answer) if answer else ([], 0, 0)
        hurt = server.look(root)
        lost, wrong = self._compare(hurt, least or self.before)
        if answer and hid_a_failure(answer):
            wrong.append(f"exit 0 although a step failed: {answer.struck}")
        # whatever was left, the user's next step is the same command again
        again = self.run(server, root)
        if again.status not in {self.status, *self.operation.again}:
            complaints.append(
                f"the same command again ended with {again.status}: {again.errors.strip()[-300:]}"
            )
        collected = server.run(root, ("gc", *STORE)) if (root / "store").exists() else None
        final = server.look(root)
        vanished, differing = self._compare(final, hurt, final=True)
        if collected and collected.status:
            complaints.append(
                f"gc ended with {collected.status}: {collected.errors.strip()[-300:]}"
            )
        # what an unhurt command does not leave, nobody may leave
        strays = sorted({*final.files} - {*self.after.files}) + final.garbage
        complaints += [f"{path} was left behind" for path in strays]
        said = (*complaints, *lost, *wrong, *vanished, *differing)
        kept = str(root) if said else ""
        if not said:
            shutil.rmtree(root, ignore_errors=True)
        return Outcome(
            len(hurt.whole.keys() & self.after.whole.keys()),
            len(lost) + len(vanished),
            len(wrong) + len(differing),
            tracebacks,
            crashes,
            said,
            kept,
        )

    def _compare(
        self, found: State, earlier: State, *, final: bool = False
    ) -> tuple[list[str], list[str]]:
        """Return what of ``earlier`` is lost, and what is neither as it was nor as it becomes.

        ``final``: as it becomes.
        """
        lost, wrong = [], []
        expected = self.after.whole if final else earlier.whole.keys() & self.after.whole.keys()
        for thing in expected:
            if thing not in found.whole and thing not in found.broken:
                lost.append(f"lost: {thing}")
        for thing, digest in found.whole.items():
            allowed = (
                {self.after.whole.get(thing)}
                if final
                else {self.before.whole.get(thing), self.after.whole.get(thing)}
            )
            # a run may be incomplete after a fault, but not after the same command again
            if digest not in allowed and not (digest == "incomplete" and not final):
                wrong.append(
                    f"wrong: {thing} is {digest}, expected {' or '.join(sorted(map(str, allowed)))}"
                )
        for thing, why in found.broken.items():
            if thing not in self.before.broken and thing not in self.after.broken:
                wrong.append(f"broken: {thing}" if why in thing else f"broken: {thing}: {why}")
        return lost, wrong

    def _prepare(self, server: CommandServer) -> None:
        for words in self.operation.before:
            needed(server.run(self.base, words))
        if self.operation.killed_before:
            words, step = self.operation.killed_before
            server.run(self.base, words, harm={"kind": "kill", "at": step})
        if self.operation.spoil:
            self.operation.spoil(self.base)

    def _finish(self, server: CommandServer, root: Path, harm: dict[str, Any]) -> Answer:
        shutil.copytree(self.base, root)
        return needed(self.run(server, root, harm=harm))


def make_base(scratch: Path, server: CommandServer) -> Path:
    """Return a folder with a store and results, on which all operations build."""
    base = scratch / "base"
    base.mkdir()
    inputs(base)
    for words in BASE:
        needed(server.run(base, words))
    return base


def needed(answer: Answer) -> Answer:
    """Return the answer of a command that nobody hurt; raises RuntimeError where it failed."""
    if answer.status:
        raise RuntimeError(
            f"a command that nobody hurt ended with {answer.status}: {answer.errors}"
        )
    return answer


def hid_a_failure(answer: Answer) -> bool:
    """Whether a command ended with 0 although a step failed whose failure must be reported."""
    if answer.status or not answer.struck:
        return False
    return json.loads(answer.struck)["name"] in MUST_BE_REPORTED


def ended(fixture: Fixture, answer: Answer) -> tuple[list[str], int, int]:
    """Return what a user would mind in how a command ended.

    Also return whether that was a traceback or a crash.
    """
    lines = [line for line in answer.errors.strip().splitlines() if line not in fixture.said]
    traceback = (
        "Traceback" in answer.errors
        or answer.status == CRASHED
        or "Exception ignored" in answer.errors
    )
    crash = (answer.status < 0 and answer.status != KILLED) or answer.status not in (
        *USUAL_ENDS,
        CRASHED,
        KILLED,
    )
    lengthy = answer.status > 0 and len(lines) != 1 and not fixture.operation.many_lines
    if traceback or crash or lengthy or answer.seconds > LONGEST:
        return [ending(answer)], int(traceback), int(crash)
    return [], 0, 0


def ending(answer: Answer) -> str:
    """Return how a command ended, in a line."""
    said = " / ".join(answer.errors.strip().splitlines()[-4:])[-400:]
    return f"ended with {answer.status} after {answer.seconds:.1f} s and said: {said}"
