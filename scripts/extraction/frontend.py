"""How an extraction meets whoever started it: its bar, its notes, Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import click

from actlas.scripts.extraction.stopping import interrupt_requests, stop_requests
from actlas.store.errors import ActlasWarning


@dataclass(frozen=True)
class Frontend:
    """What an extraction needs of its surface.

    bar: makes a bar, as tqdm does. note: says what is no failure, in a line. stop_requests: see
    there.
    """

    bar: Callable[..., Any]
    note: Callable[[str], None]
    stop_requests: Callable[[], AbstractContextManager[Callable[[], bool]]]


def _bar(**settings: Any) -> Any:
    from actlas.scripts.terminal.progress import Bar  # with tqdm, where something is computed

    return Bar(**settings)


def _bar_of_python(**settings: Any) -> Any:
    from actlas.scripts.terminal.progress import bar_of_python

    return bar_of_python(**settings)


def _echo(note: str) -> None:
    click.echo(f"note: {note}", err=True)


def _warn(note: str) -> None:
    warnings.warn(note, ActlasWarning, stacklevel=2)


TERMINAL = Frontend(_bar, _echo, stop_requests)
#: prints nothing but a bar, and leaves the process as it is
PYTHON = Frontend(_bar_of_python, _warn, interrupt_requests)
