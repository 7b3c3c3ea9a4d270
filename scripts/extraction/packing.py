"""Packing the files of a run as commands do it.

They show a bar, and pack at the end of an extraction where there are many small files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actlas.scripts.extraction.frontend import TERMINAL, Frontend
from actlas.scripts.terminal.progress import Bar
from actlas.store.errors import StoreError
from actlas.store.runs.many_files import has_many_files
from actlas.store.runs.run import Run
from actlas.store.writing.pack import MOST_BYTES, Packed, pack


def pack_with_bar(
    run: Run,
    most_bytes: int = MOST_BYTES,
    *,
    quiet: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    bar_of: Callable[..., Any] = Bar,
) -> Packed:
    """Do ``pack`` and show how far it is.

    Raises KeyboardInterrupt at the next block after ``stopped`` says so.
    """
    with bar_of(
        unit="B",
        unit_scale=True,
        desc=f"{run.name}: packing files",
        disable=True if quiet else None,
    ) as bar:

        def progress(nbytes: int, total: int) -> None:
            # packing can stop between two blocks: its file is published as a whole or not at all
            if stopped():
                raise KeyboardInterrupt
            bar.total = total
            bar.update(nbytes)

        return pack(run, most_bytes, progress)


def pack_small_files(
    run: Run, stopped: Callable[[], bool], *, quiet: bool, frontend: Frontend = TERMINAL
) -> Packed | None:
    """Pack a run that was just extracted, if it lies in many small files.

    Returns None where it does not, or where there is no room.

    The run is stored either way: a reason for which it cannot be packed is a note, not a failure.
    """
    if not has_many_files(run):
        return None
    try:
        return pack_with_bar(run, quiet=quiet, stopped=stopped, bar_of=frontend.bar)
    except StoreError as error:
        frontend.note(f"run {run.name} is stored, but its files were not packed: {error}")
        return None
