"""A server of commands that are hurt: it has imported all, and forks a process for each order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from actlas.scripts.bench.injection.state import State


@dataclass(frozen=True)
class Answer:
    """How a command ended, a signal that ended it negative.

    The step that was hurt; how often NumPy asked for much memory.
    """

    status: int
    seconds: float
    output: str
    errors: str
    struck: str = ""
    allocations: int = 0


class CommandServer:
    """A server of hurt commands, see ``process.py``.

    ``prefix`` are words to start it with, such as another namespace.
    """

    def __init__(self, scratch: Path, prefix: Sequence[str] = ()) -> None:
        self._answer = scratch / f"answer-{os.urandom(4).hex()}"
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TQDM_DISABLE": "1",
            "HF_HUB_OFFLINE": "1",
        }
        environment["XDG_CACHE_HOME"] = str(scratch / "cache")
        self._server = subprocess.Popen(
            [*prefix, sys.executable, "-m", "actlas.scripts.bench.injection.process"],
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

    def start(self, **order: Any) -> None:
        """Give an order: a command in a folder, and what is to happen to it.

        An order may also be to look, or to mount.
        """
        assert self._server.stdin is not None
        for part in ("struck", "allocations"):
            Path(f"{self._answer}.{part}").unlink(missing_ok=True)
        if "harm" in order:
            order["harm"] = {**order["harm"], "struck": f"{self._answer}.struck"}
        self._server.stdin.write(json.dumps({"answer": str(self._answer), **order}) + "\n")
        self._server.stdin.flush()

    def wait(self) -> Answer:
        """Return how the order ended."""
        said = json.loads(self._read())
        output, errors, struck, counted = (
            self._part(name) for name in ("out", "err", "struck", "allocations")
        )
        return Answer(said["status"], said["seconds"], output, errors, struck, int(counted or 0))

    def run(self, root: Path, words: Sequence[str], **order: Any) -> Answer:
        """Run a command in ``root``, hurt as ``order`` says."""
        self.start(root=str(root), command=[word.format(root=root) for word in words], **order)
        return self.wait()

    def look(self, root: Path) -> State:
        """Return what lies below ``root``; raises RuntimeError where looking itself fails."""
        self.start(look=str(root))
        answer = self.wait()
        if answer.status:
            raise RuntimeError(f"looking at {root} ended with {answer.status}: {answer.errors}")
        return State(**json.loads(answer.output))

    def _part(self, name: str) -> str:
        path = Path(f"{self._answer}.{name}")
        return path.read_text(errors="replace") if path.exists() else ""

    def _read(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("the server of hurt commands ended: see above")
        return line
