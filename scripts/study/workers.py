"""Analyses side by side, each in a process of its own.

matplotlib draws in one thread at a time, so there are processes: one that imports what analyses
need, while this one loads the model and extracts, and that forks a child for each analysis. It has
no threads by then, and no torch.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, Protocol

from actlas.store.errors import ActlasError

PRELOADED = (
    *("xarray", "dask.array", "h5netcdf", "threadpoolctl", "actlas.analysis.plots"),
    *("actlas.analysis.results.files", "actlas.store.reading.view"),
)
MEMORY_OF_ONE = 2 << 30  # bytes that are free for each process
PATIENCE = 5.0  # seconds that a process has to remove its drafts
ENDED = "its process ended early (signal {}): is there enough memory? --jobs 1 does one at a time"


class Job(Protocol):
    """Something that is computed by the time its result is asked for."""

    def result(self) -> Any:
        """Return the result; raises what computing it raised."""


@dataclass(frozen=True)
class Here:
    """A job of this process, computed when its result is asked for."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def result(self) -> Any:
        """Compute it."""
        return self.function(*self.arguments)


class OneProcess:
    """Does all jobs in this process, in the order in which they are asked for."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Job:
        """Return a job that is not computed yet."""
        return Here(function, arguments)

    def nothing_else(self) -> None:
        """Do nothing: there is one process in any case."""


def default_jobs() -> int:
    """Return how many analyses are done side by side: a core each, fewer where memory is short.

    One outside Linux, where forking is not safe, and where the free memory is not known.
    """
    if sys.platform != "linux":
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), _free_memory() // MEMORY_OF_ONE))


def _free_memory() -> int:
    """Return the bytes that processes can have, 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return 1024 * next(found, 0)


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[OneProcess | Workers]:
    """Yield what does jobs: ``jobs`` of them side by side, or this process where that is one.

    It is one too where this process has threads, whose locks a fork would keep for ever.
    """
    if jobs == 1 or threading.active_count() > 1:
        yield OneProcess()
        return
    started = Workers(jobs)
    try:
        yield started
    finally:
        started.stop()


class Workers:
    """A process that forks others; until ``nothing_else`` it leaves a core to this one."""

    def __init__(self, jobs: int) -> None:
        self.jobs, self._number = jobs, 0
        self._answers: dict[int, bytes] = {}
        self._connection, theirs = Pipe()
        self._pid = _forked()
        if not self._pid:
            self._connection.close()
            _as_child(lambda: _Server(theirs, jobs - 1).serve())
        theirs.close()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Job:
        """Begin a job; function and arguments can be pickled."""
        self._number += 1
        self._send((self._number, pickle.dumps((function, arguments))))
        return _Elsewhere(self, self._number)

    def nothing_else(self) -> None:
        """Use the core that was left to this process, which only waits from now on."""
        self._send(self.jobs)

    def answer(self, number: int) -> bytes:
        """Return the answer of a job when it is there."""
        while number not in self._answers:
            try:
                other, content = self._connection.recv()
            except (EOFError, OSError) as error:
                raise ActlasError(f"analyses: {ENDED.format('unknown')}") from error
            self._answers[other] = content
        return self._answers.pop(number)

    def stop(self) -> None:
        """End all that still works; nothing where all is done."""
        self._connection.close()
        os.waitpid(self._pid, 0)

    def _send(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # told when the answer is asked for
            self._connection.send(message)


@dataclass(frozen=True)
class _Elsewhere:
    workers: Workers
    number: int

    def result(self) -> Any:
        good, value = pickle.loads(self.workers.answer(self.number))  # our own
        if not good:
            raise value
        return value


@dataclass
class _Server:
    """The process in between: begins jobs as they come, ``most`` at a time, passes answers on."""

    connection: Connection
    most: int
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    running: dict[Connection, tuple[int, int]] = field(default_factory=dict)  # → job, process

    def serve(self) -> None:
        """Work until the other end is closed; then end what still runs."""
        # Ctrl-C reaches all processes of a terminal: the first one decides what becomes of us
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for name in PRELOADED:
            importlib.import_module(name)
        gc.freeze()  # or each child would copy all of it at its first collection
        while True:
            for ready in wait([self.connection, *self.running]):
                if ready is not self.connection:
                    self._pass_on(ready)  # type: ignore[arg-type]  # all are connections
                elif not self._taken():
                    self._end()
                    return
            while self.waiting and len(self.running) < self.most:
                self._begin(*self.waiting.popleft())

    def _taken(self) -> bool:
        try:
            message = self.connection.recv()
        except (EOFError, OSError):  # closed, with or without answers that were never read
            return False
        if isinstance(message, int):
            self.most = message
        else:
            self.waiting.append(message)
        return True

    def _begin(self, number: int, payload: bytes) -> None:
        ours, theirs = Pipe(duplex=False)
        try:
            process = _forked()
        except ActlasError as error:
            for unused in (ours, theirs):
                unused.close()
            self._send((number, pickle.dumps((False, error))))
            return
        if not process:
            for inherited in (ours, self.connection, *self.running):
                inherited.close()
            # what ends us lets drafts be removed on the way out
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            _as_child(lambda: _answer(theirs, payload))
        theirs.close()
        self.running[ours] = number, process

    def _pass_on(self, ready: Connection) -> None:
        number, process = self.running.pop(ready)
        try:
            content = ready.recv_bytes()
        except EOFError:
            content = b""
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        ready.close()
        if not content:
            content = pickle.dumps((False, ActlasError(ENDED.format(-code))))
        self._send((number, content))

    def _send(self, answer: tuple[int, bytes]) -> None:
        with contextlib.suppress(OSError):  # nobody asks any more: the next look at it says so
            self.connection.send(answer)

    def _end(self) -> None:
        for _, process in self.running.values():
            os.kill(process, signal.SIGTERM)
        wait(list(self.running), PATIENCE) if self.running else None
        for _, process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _forked() -> int:
    """Return the id of a new process, 0 in that process."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or both would write what is still in the buffer
    with warnings.catch_warnings():
        # Python 3.12 warns of the threads of BLAS, which ends them before a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return os.fork()
        except OSError as error:
            raise ActlasError(
                f"no process can be started ({error.strerror}): allow more of them (`ulimit -u`), "
                "or do one analysis at a time, --jobs 1"
            ) from error


def _as_child(work: Callable[[], None]) -> None:
    """Do ``work`` and end the process, whatever happens: the caller's code is its parent's."""
    code = 1
    try:
        work()
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _answer(connection: Connection, payload: bytes) -> None:
    """Do a job and send what it gives, where somebody still asks for it."""
    content = _answered(payload)
    with contextlib.suppress(OSError):
        connection.send_bytes(content)


def _answered(payload: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(payload)  # our own
        return pickle.dumps((True, function(*arguments)))
    except Exception as error:
        reason = traceback.format_exc()
        try:
            error.add_note(f"in a process of its own:\n{reason}")
            content = pickle.dumps((False, error))
            pickle.loads(content)  # our own
            return content
        except Exception:  # an exception of a library that cannot be sent
            return pickle.dumps((False, RuntimeError(reason)))
