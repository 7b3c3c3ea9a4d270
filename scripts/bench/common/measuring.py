"""Time and memory of a piece of work in this process, as Linux counts them."""

from __future__ import annotations

import gc
import math
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from actlas.scripts.terminal.text import size

SAMPLING = 0.005  # seconds between two looks at the memory


def seconds_of(work: Callable[[], object], repeats: int, enough: float = math.inf) -> list[float]:
    """Return the seconds of ``work``, done ``repeats`` times.

    Once is enough where that takes ``enough`` seconds. Garbage is collected before.
    """
    seconds: list[float] = []
    # a thing that takes seconds is not repeated for a digit more
    while len(seconds) < repeats and not (seconds and seconds[0] > enough):
        gc.collect()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


class Measured:
    """Seconds of each counted piece of work, and the highest rise of memory during one.

    anonymous: leave out the pages of mapped files, which the system takes back when it needs them.
    cold: look at the memory of uncounted work too, the first of which has not yet got what stays.
    """

    def __init__(self, *, anonymous: bool = False, cold: bool = False) -> None:
        self._cold = cold
        self.seconds: list[float] = []
        self.peak = 0
        self._field = "RssAnon" if anonymous else "VmRSS"

    def add(self, work: Callable[[], object], *, counted: bool = True) -> None:
        """Do ``work`` and note time and peak."""
        # getrusage's ru_maxrss never falls, so each piece of work is sampled by itself
        rest, peak, done = memory(self._field), [0], threading.Event()

        def watch() -> None:
            while not done.wait(SAMPLING):
                peak[0] = max(peak[0], memory(self._field) - rest)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        try:
            work()
        finally:
            seconds = time.perf_counter() - start
            done.set()
            watcher.join()
        if counted or self._cold:
            self.peak = max(self.peak, peak[0])
        if counted:
            self.seconds.append(seconds)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    def row(self, name: str) -> tuple[str, str, str, str, str]:
        """Return a row of the table under HEADER."""
        return (
            name,
            f"{self.median:.2f}",
            f"{min(self.seconds):.2f}",
            f"{max(self.seconds):.2f}",
            size(self.peak),
        )


HEADER = ("way", "median s", "least s", "most s", "peak above rest")


def memory(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(field)
    )
    return int(line.split()[1]) * 1024
