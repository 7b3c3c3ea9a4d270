"""Harm to a process at a chosen step of its way to the disk.

The calls by which it changes a folder are wrapped.

Nothing in actlas knows of this. A *step* is a call that changes what lies below a place; with
``reads``, one that reads it.
"""

from __future__ import annotations

import base64
import builtins
import fcntl
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: calls that change a folder or a file, and where each names what it changes: a path, a descriptor
BY_PATH = (
    "mkdir",
    "rmdir",
    "unlink",
    "remove",
    "chmod",
    "link",
    "symlink",
    "rename",
    "replace",
    "truncate",
)
BY_DESCRIPTOR = (
    "posix_fallocate",
    "pwritev",
    "pwrite",
    "write",
    "ftruncate",
    "fdatasync",
    "fsync",
    "fchmod",
)
READS = ("scandir", "listdir", "stat", "readlink")
WRITES = ("pwritev", "pwrite", "write", "file write")
#: calls whose failure leaves the content of a file in doubt: a command that meets one has not done
#: its work
MUST_BE_REPORTED = (*WRITES, "fdatasync", "fsync", "posix_fallocate", "rename", "replace")
STEADY = 0.02  # seconds for a signal to be noticed

Call = Callable[..., Any]


class Harm:
    """What happens at step ``at``.

    The ``at``-th call below ``place``, counted from 0; all steps are counted and noted.

    kind: none, kill (before the step), tear (a write done by half, then kill), error (the call
    fails with ``code``), errors (it and all later ones of its name), signal (``code`` is sent, and
    again ``again`` steps later), short (every write takes half of what it is given).
    only: count no other calls than these. reads: count calls that read, not those that change.
    record: a file that gets all steps with their bytes. struck: a file that gets the step that was
    hurt.
    """

    def __init__(
        self,
        place: str,
        kind: str = "none",
        at: int = -1,
        code: int = 0,
        again: int = 0,
        only: Sequence[str] = (),
        reads: bool = False,
        record: str = "",
        struck: str = "",
    ) -> None:
        self.place = os.path.realpath(place)
        self.kind, self.at, self.code, self.again = kind, at, code, again
        self.only, self.reads, self.record, self.struck = tuple(only), reads, record, struck
        self.steps: list[dict[str, Any]] = []
        self._failing = ""
        self.lock = threading.RLock()
        self._open, self._opened, self._readlink = os.open, io.open, os.readlink

    def install(self) -> None:
        """Wrap the calls, in this process."""
        for name in READS if self.reads else BY_PATH:
            setattr(os, name, self._wrapped(name, getattr(os, name), self._path_of))
        if not self.reads:
            for name in BY_DESCRIPTOR:
                setattr(os, name, self._wrapped(name, getattr(os, name), self.path_behind))
            # flock changes no byte, but decides who may remove whose files: a step as well
            fcntl.flock = self._wrapped("flock", fcntl.flock, self.path_behind)
        os.open = self._wrapped("open", os.open, self._opens)
        io.open = builtins.open = self._open_file

    def _open_file(self, file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        place = os.path.realpath(file) if isinstance(file, str | os.PathLike) else ""
        # an opener makes its file by os.open, which is wrapped itself
        if not self._inside(place) or options.get("opener"):
            return self._opened(file, mode, *rest, **options)
        writes = any(letter in mode for letter in "wxa+")
        if self.reads == writes:
            return self._opened(file, mode, *rest, **options)
        if self.reads:
            return self.step("file open", place, self._opened, (file, mode, *rest), options)
        # a raw file of ours below Python's buffers: a step is a write that reaches the system
        raw = StepFile(place, mode.replace("b", "").replace("t", ""), self)
        if "b" in mode:
            return (
                raw if rest[:1] == (0,) or options.get("buffering") == 0 else io.BufferedRandom(raw)
            )
        text = {
            name: value
            for name, value in options.items()
            if name in ("encoding", "errors", "newline")
        }
        return io.TextIOWrapper(io.BufferedRandom(raw), **text)

    def _inside(self, place: str) -> bool:
        return place == self.place or place.startswith(self.place + os.sep)

    def _wrapped(self, name: str, call: Call, place_of: Callable[..., str]) -> Call:
        def step(*arguments: Any, **options: Any) -> Any:
            place = place_of(*arguments, **options)
            if not self._inside(place):
                return call(*arguments, **options)
            return self.step(name, place, call, arguments, options)

        return step

    def step(
        self, name: str, place: str, call: Call, arguments: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        """Do a step, or what is to happen in its place."""
        if self.only and name not in self.only:
            return call(*arguments, **options)
        with self.lock:  # one after the other, so that the notes are in the order of the disk's
            number = len(self.steps)
            self.steps.append({"name": name, "path": os.path.relpath(place, self.place)})
            arguments = self._hurt(number, name, place, call, arguments)
            moved = (
                self._moved(arguments[0]) if self.record and name in ("rename", "replace") else {}
            )
            result = call(*arguments, **options)
            self.note(**self._details(name, arguments, result), **moved)
            return result

    def note(self, **details: Any) -> None:
        """Add to what is noted of the last step; the caller holds ``lock``."""
        if self.record:
            self.steps[-1].update(details)

    def _hurt(
        self, number: int, name: str, place: str, call: Call, arguments: Sequence[Any]
    ) -> Sequence[Any]:
        if self.kind == "short" and name in WRITES:
            return halved(name, arguments)
        # handlers run in the main thread between two bytecodes: give it the time
        if self.kind == "signal" and number in (self.at, self.at + self.again):
            os.kill(os.getpid(), self.code)
            time.sleep(STEADY)
        if name == self._failing or (number == self.at and self.kind in ("error", "errors")):
            # a full disk fails every later call of the kind as well, a bad sector this one alone
            self._failing = name if self.kind == "errors" else ""
            self._strike()
            named = name in (*BY_PATH, *READS, "open", "file open", "create")
            raise OSError(self.code, os.strerror(self.code), *([place] if named else []))
        if number == self.at and self.kind == "tear" and name in WRITES:
            call(*halved(name, arguments))
        if number == self.at and self.kind in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)
        return arguments

    def _strike(self) -> None:
        if self.struck:
            with self._opened(self.struck, "w") as file:
                file.write(json.dumps(self.steps[-1]))

    def finish(self) -> None:
        """Leave the notes in the file ``record``."""
        if self.record:
            with self._opened(self.record, "w") as file:
                file.writelines(json.dumps(step) + "\n" for step in self.steps)

    def _path_of(self, first: Any = ".", second: Any = None, *_: Any, **options: Any) -> str:
        """Return the place that a call by path is about.

        The new name, for a link; links on the way to it resolved.
        """
        given = second if isinstance(second, str | bytes | os.PathLike) else first
        if isinstance(given, int):
            return self.path_behind(given)
        place, beside = Path(os.fsdecode(given)), options.get("dir_fd")
        # only the folder is resolved: a link itself can be what is removed or renamed
        folder = (
            Path(self.path_behind(beside))
            if beside is not None
            else Path(os.path.realpath(place.parent))
        )
        return str(folder / place.name)

    def path_behind(self, descriptor: Any, *_: Any, **__: Any) -> str:
        """Return the place of an open file, as the system knows it; nowhere if it is none."""
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        try:
            return self._readlink(f"/proc/self/fd/{number}").removesuffix(" (deleted)")
        except OSError:
            return ""

    def _opens(self, place: Any, flags: int, *_: Any, **options: Any) -> str:
        """Return the place that an open makes, or reads; nowhere for the other kind."""
        return (
            ""
            if self.reads == bool(flags & os.O_CREAT)
            else self._path_of(place, dir_fd=options.get("dir_fd"))
        )

    def _moved(self, source: Any) -> dict[str, Any]:
        """Return what is to be known of a file or folder before it gets another name."""
        place, path = os.path.relpath(os.path.realpath(source), self.place), Path(source)
        # the inode number stands for a file under all of its names, see power.synced
        return {"file": path.stat().st_ino, "source": place, "folder": path.is_dir()}

    def _details(self, name: str, arguments: Sequence[Any], result: Any) -> dict[str, Any]:
        """Return what of a step that was done is needed to imitate a loss of power after it."""
        if not self.record:
            return {}
        if name == "open":
            return {"file": os.fstat(result).st_ino, "new": os.fstat(result).st_size == 0}
        if name == "link":
            return self._moved(arguments[0])
        if name == "posix_fallocate":
            return {"file": os.fstat(arguments[0]).st_ino, "size": arguments[2]}
        if name in ("pwritev", "pwrite"):
            content = b"".join(arguments[1]) if name == "pwritev" else bytes(arguments[1])
            return {
                "file": os.fstat(arguments[0]).st_ino,
                "offset": arguments[2],
                "content": encoded(content[:result]),
            }
        if name in ("fsync", "fdatasync"):
            return {"file": os.fstat(arguments[0]).st_ino}
        return {}


class StepFile(io.FileIO):
    """A file whose making and writes are steps."""

    def __init__(self, place: str, mode: str, harm: Harm) -> None:
        self._harm = harm
        old = os.path.exists(place)  # noqa: PTH110 - nothing that is wrapped itself
        readable = mode if "+" in mode else f"{mode}+"  # so that one kind of buffer serves all
        with harm.lock:
            harm.step("create", place, super().__init__, (place, readable), {})
            harm.note(file=os.fstat(self.fileno()).st_ino, new=not old or "w" in mode)

    def write(self, content: Any) -> int:
        """Write as a step."""
        offset, place = self.tell(), self._harm.path_behind(self.fileno())
        with self._harm.lock:
            written = int(self._harm.step("file write", place, super().write, (content,), {}))
            # fewer bytes may have been taken than were given
            kept = bytes(memoryview(content).cast("B")[:written])
            self._harm.note(
                file=os.fstat(self.fileno()).st_ino, offset=offset, content=encoded(kept)
            )
        return written


def halved(name: str, arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments of a write, with half of what is to be written."""
    if name == "file write":
        content = memoryview(arguments[0]).cast("B")
        return (content[: len(content) // 2 or 1],)
    descriptor, what, *rest = arguments
    first = what[0] if name == "pwritev" else what
    half = first[: len(first) // 2 or 1]
    return descriptor, [half] if name == "pwritev" else half, *rest


def encoded(content: bytes) -> str:
    """Return bytes as JSON can hold them."""
    return base64.b64encode(content).decode()
