"""A process that runs ``actlas`` commands and is hurt on order, at a chosen step of its way to the disk.

No hook stands in the store for this: the calls by which it changes a folder are wrapped in the process that is to be hurt. One
server imports everything once and forks a child for each order, so that a trial with the real model takes a moment.
Orders are JSON lines on standard input, answers JSON lines on standard output; ``faults.py`` gives them.
"""

from __future__ import annotations

import base64
import ctypes
import io
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: calls that change a folder or a file, and where each names what it changes: a path, a descriptor
BY_PATH = ("mkdir", "rmdir", "unlink", "chmod", "link")
BY_DESCRIPTOR = ("posix_fallocate", "pwritev", "fdatasync", "fsync")
CRASHED = 70  # exit status of a command that ended with a traceback
STEADY = 0.02  # seconds for a signal to be noticed


class Harm:
    """What happens at step ``at``: the ``at``-th change of ``store``, counted from 0; all steps are counted and noted.

    kind: none, kill (before the step), tear (a write done by half, then kill), error (the call fails with ``code``), errors
    (it and all later ones of its name), signal (``code`` is sent, and again ``again`` steps later), short (every write takes
    half of what it is given).
    """

    def __init__(self, store: str, kind: str = "none", at: int = -1, code: int = 0, again: int = 0, record: str = "") -> None:
        self.store = os.path.realpath(store)
        self.kind, self.at, self.code, self.again = kind, at, code, again
        self.record = record
        self.steps: list[dict[str, Any]] = []
        self._failing = ""
        self.lock = threading.RLock()

    def install(self) -> None:
        """Wrap the calls, in this process."""
        for name in BY_PATH:
            setattr(os, name, self._wrapped(name, getattr(os, name), _path_of))
        for name in BY_DESCRIPTOR:
            setattr(os, name, self._wrapped(name, getattr(os, name), _path_behind))
        os.open = self._wrapped("open", os.open, _created)
        opened = io.open

        def open_file(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            place = os.path.realpath(file) if isinstance(file, str | os.PathLike) else ""
            if mode in ("xb", "wb") and self._inside(place):
                return io.BufferedWriter(_StepFile(place, mode, self))
            return opened(file, mode, *rest, **options)

        io.open = open_file

    def _inside(self, place: str) -> bool:
        return place == self.store or place.startswith(self.store + os.sep)

    def _wrapped(self, name: str, call: Callable[..., Any], place_of: Callable[..., str]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            place = place_of(*arguments, **options)
            if not self._inside(place):
                return call(*arguments, **options)
            return self.step(name, place, call, arguments, options)

        return step

    def step(self, name: str, place: str, call: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        """Do a step, or what is to happen in its place."""
        with self.lock:  # one after the other, so that the notes are in the order of the disk's
            number = len(self.steps)
            self.steps.append({"name": name, "path": os.path.relpath(place, self.store)})
            arguments = self._hurt(number, name, place, call, arguments)
            result = call(*arguments, **options)
            self.note(**_details(name, arguments, result))
            return result

    def note(self, **details: Any) -> None:
        """Add to what is noted of the last step; the caller holds ``lock``."""
        if self.record:
            self.steps[-1].update(details)

    def _hurt(self, number: int, name: str, place: str, call: Callable[..., Any], arguments: Sequence[Any]) -> Sequence[Any]:
        writes = name in ("pwritev", "write")
        if self.kind == "short" and writes:
            return _half(name, arguments)
        if self.kind == "signal" and number in (self.at, self.at + self.again):
            os.kill(os.getpid(), self.code)
            time.sleep(STEADY)
        if name == self._failing or (number == self.at and self.kind in ("error", "errors")):
            self._failing = name if self.kind == "errors" else ""
            raise OSError(self.code, os.strerror(self.code), *([place] if name in (*BY_PATH, "open") else []))
        if number == self.at and self.kind == "tear" and writes:
            call(*_half(name, arguments))
        if number == self.at and self.kind in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)
        return arguments

    def finish(self) -> None:
        """Leave the notes in the file ``record``."""
        if self.record:
            Path(self.record).write_text("".join(json.dumps(step) + "\n" for step in self.steps))


class _StepFile(io.FileIO):
    """A file whose writes are steps."""

    def __init__(self, place: str, mode: str, harm: Harm) -> None:
        self._harm = harm
        with harm.lock:
            harm.step("create", place, super().__init__, (place, mode), {})
            harm.note(file=os.fstat(self.fileno()).st_ino)

    def write(self, content: Any) -> int:
        """Write as a step."""
        offset, place = self.tell(), _path_behind(self.fileno())
        with self._harm.lock:
            written = int(self._harm.step("write", place, super().write, (content,), {}))
            kept = bytes(memoryview(content).cast("B")[:written])
            self._harm.note(file=os.fstat(self.fileno()).st_ino, offset=offset, content=base64.b64encode(kept).decode())
        return written


def _half(name: str, arguments: Sequence[Any]) -> Sequence[Any]:
    if name == "write":
        content = memoryview(arguments[0]).cast("B")
        return (content[: len(content) // 2 or 1],)
    descriptor, views, offset = arguments
    return descriptor, [views[0][: len(views[0]) // 2 or 1]], offset


def _path_of(first: Any, second: Any = None, *_: Any, dir_fd: int | None = None, **__: Any) -> str:
    """Return the place that a call by path changes: the new name, for a link; links on the way to it resolved."""
    place = Path(second if isinstance(second, str | os.PathLike) else first)
    folder = Path(_path_behind(dir_fd)) if dir_fd is not None else Path(os.path.realpath(place.parent))
    return str(folder / place.name)


def _path_behind(descriptor: Any, *_: Any, **__: Any) -> str:
    """Return the place of an open file, as the system knows it."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink()).removesuffix(" (deleted)")


def _created(place: Any, flags: int, *_: Any, dir_fd: int | None = None, **__: Any) -> str:
    """Return the place that an open makes, nowhere if it makes none."""
    return _path_of(place, dir_fd=dir_fd) if flags & os.O_CREAT else ""


def _details(name: str, arguments: Sequence[Any], result: Any) -> dict[str, Any]:
    """Return what of a step that was done is needed to imitate a loss of power after it."""
    if name == "open":
        return {"file": os.fstat(result).st_ino}
    if name == "link":
        return {"file": Path(arguments[1]).stat().st_ino}
    if name == "posix_fallocate":
        return {"file": os.fstat(arguments[0]).st_ino, "size": arguments[2]}
    if name == "pwritev":
        content = b"".join(arguments[1])[:result]
        return {"file": os.fstat(arguments[0]).st_ino, "offset": arguments[2], "content": base64.b64encode(content).decode()}
    if name in ("fsync", "fdatasync"):
        return {"file": os.fstat(arguments[0]).st_ino}
    return {}


def obey(order: dict[str, Any]) -> None:
    """Carry out an order in this process, a child, and end it."""
    from actlas.scripts.cli import main

    for number, descriptor in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{order['answer']}.{descriptor}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    harm = Harm(order["store"], **order.get("harm", {}))
    harm.install()
    for name, value in order.get("limits", {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if order.get("powerless"):
        drop_capabilities()
    status = 0
    try:
        main(order["command"], prog_name="actlas")
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        traceback.print_exc()
        status = CRASHED
    harm.finish()
    sys.stdout.flush()
    os._exit(status)


def drop_capabilities() -> None:
    """Let permissions hold for root too, as they do for others."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def serve() -> None:
    """Fork a child for every order and answer with its exit status; a signal that ended it is negative."""
    import dask.array  # noqa: F401
    import tokenizers  # noqa: F401
    import torch

    import actlas.scripts.extract
    import actlas.scripts.verify  # noqa: F401
    from actlas.pipeline import extract, models

    # loading takes longer than all the rest of a trial, and touches no store: once is enough
    model = models.load(models.resolve("demo"), dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    vars(extract)["load"] = lambda *_, **__: model
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        start = time.perf_counter()
        child = os.fork()
        if not child:
            obey(order)
        if "kill_after" in order:
            time.sleep(order["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "seconds": seconds}), flush=True)


if __name__ == "__main__":
    serve()
