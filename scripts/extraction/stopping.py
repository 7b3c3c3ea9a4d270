"""Ctrl-C and SIGTERM: the first is asked for where stopping is safe, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from actlas.store.errors import ActlasError


class Interrupted(ActlasError):
    """The user stopped an extraction; the message says how to go on."""

    exit_code = 130


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into an answer of True.

    Callers ask for it where stopping is safe. The second signal stops at once.

    An exception raised by a signal can come up anywhere, also where a library swallows it. So the
    second ends the process as it stands: what is committed is safe whatever happens to it, and the
    next extraction removes the rest.
    """
    requests: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if requests:
            # os.write and os._exit are safe in a handler; print could wait for a lock that we hold
            os.write(2, b"\nError: interrupted at once: run the same command again to go on\n")
            os._exit(Interrupted.exit_code)
        requests.append(number)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, old in before.items():
            # an impatient user gets no traceback from the way out
            signal.signal(number, signal.SIG_DFL if requests else old)


@contextmanager
def interrupt_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into an answer of True, as ``stop_requests``, in a process of others.

    The second raises KeyboardInterrupt where it comes. Threads other than the main one get no
    signals. Raises KeyboardInterrupt at the end where nobody asked any more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requests: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(requests)
    finally:
        signal.signal(signal.SIGINT, before)
    if requests:
        raise KeyboardInterrupt
