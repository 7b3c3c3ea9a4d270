"""Progress bars."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from tqdm import tqdm


class Bar(tqdm):  # type: ignore[type-arg]  # generic for type checkers alone
    """A bar of tqdm without its monitor.

    The monitor is a thread whose start never returns where memory runs out at that moment
    (python/cpython#140746), and it only redraws bars that stand still.
    """

    monitor_interval = 0


def bar_of_python(**settings: Any) -> Any:
    """Return a bar for a script or a notebook; one of widgets where a notebook has them."""
    if not _in_kernel() or settings.get("disable"):
        return Bar(**settings)
    settings["disable"] = False  # a kernel's output is no terminal, and shows bars
    if importlib.util.find_spec("ipywidgets") is None:
        return Bar(**settings)
    from tqdm.notebook import tqdm as widget

    return widget(**settings)


def _in_kernel() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
