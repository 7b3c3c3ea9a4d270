"""The threads behind an extraction: one writes, one asks the disk to begin, one commits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Self

from actlas.store.errors import StoreError
from actlas.store.io.durable import remedy_of

QUEUE_BYTES = 64 << 20  # activations that may wait for the writer
FLUSH_BYTES = 128 << 20  # written bytes after which the disk is asked to begin


class WriteQueue:
    """A writer thread with a bounded number of waiting bytes, and one that syncs and commits.

    Their errors are raised in the caller at the next call.

    Raises StoreError there for a disk that takes no more and for want of memory.
    """

    def __init__(self, limit: int = QUEUE_BYTES) -> None:
        self._limit = limit
        self._writer = ThreadPoolExecutor(1, "actlas-write")
        self._flusher = ThreadPoolExecutor(1, "actlas-flush")
        self._committer = ThreadPoolExecutor(1, "actlas-commit")
        self._commit: Future[None] | None = None
        self._waiting: deque[tuple[int, Future[Any]]] = deque()
        self._bytes = 0
        self._unflushed = 0
        self._flush: Future[None] | None = None

    def __enter__(self) -> Self:
        """Start all threads now: later there may be no memory for their stacks."""
        for thread in (self._writer, self._flusher, self._committer):
            thread.submit(int).result()
        return self

    def __exit__(self, *_: object) -> None:
        """Let what is waiting finish.

        It is little, and a complete unit among it deserves its commit.
        """
        for thread in (self._writer, self._flusher, self._committer):
            thread.shutdown()

    def submit(self, nbytes: int, job: Callable[[], Any]) -> None:
        """Queue ``job``, which holds ``nbytes`` of memory; waits while too much is queued."""
        while self._waiting and (self._bytes + nbytes > self._limit or self._waiting[0][1].done()):
            self._take()
        self._bytes += nbytes
        self._waiting.append((nbytes, self._writer.submit(job)))

    def commit(self, job: Callable[[], Any]) -> None:
        """Call ``job``, which syncs and commits, once all that is queued is written.

        The rows of the next unit are written meanwhile. One unit waits for its commit, no more.
        """
        if self._commit is not None:
            wait([self._commit])
        written = self._writer.submit(self._last_flush)

        def synced() -> None:
            flush = written.result()
            if flush is not None:  # a file must not be closed under it; the writer keeps its error
                wait([flush])
            job()

        self._commit = self._committer.submit(synced)
        self._waiting.append((0, self._commit))

    def _last_flush(self) -> Future[None] | None:
        flush, self._flush, self._unflushed = self._flush, None, 0
        return flush

    def drain(self) -> None:
        """Wait until nothing is queued."""
        while self._waiting:
            self._take()

    def settle(self) -> None:
        """Wait until nothing runs, errors ignored: for a caller that is failing already."""
        for _, future in self._waiting:
            wait([future])
        self._waiting.clear()
        self._bytes = 0
        wait([each for each in (self._flush, self._commit) if each is not None])
        self._flush = None

    def flush_now_and_then(self, nbytes: int, flush: Callable[[], None]) -> None:
        """Call ``flush`` beside the writer after every FLUSH_BYTES.

        The last sync then finds little left to do.

        Raises the error of the one before.
        """
        self._unflushed += nbytes
        if self._unflushed >= FLUSH_BYTES and (self._flush is None or self._flush.done()):
            if self._flush is not None:
                self._flush.result()
            self._unflushed = 0
            self._flush = self._flusher.submit(flush)

    def _take(self) -> None:
        nbytes, future = self._waiting.popleft()
        self._bytes -= nbytes
        try:
            future.result()
        # not the caller's, who would take it for his own and compute the wrong unit again
        except MemoryError as error:
            raise StoreError(
                "out of memory while activations were written: run the same command again"
            ) from error
        except OSError as error:
            what = error.filename or "activations"
            raise StoreError(
                f"cannot write {what}: {error.strerror or error}: {remedy_of(error)}"
            ) from error
