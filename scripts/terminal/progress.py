"""Progress bars."""

from __future__ import annotations

from tqdm import tqdm


class Bar(tqdm):  # type: ignore[type-arg]  # generic for type checkers alone
    """A bar of tqdm without its monitor.

    The monitor is a thread whose start never returns where memory runs out at that moment
    (python/cpython#140746), and it only redraws bars that stand still.
    """

    monitor_interval = 0
