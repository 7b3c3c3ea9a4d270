"""Paths on the command line.

``~`` is the home folder, wherever it stands and whoever expands it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from actlas.store.io.safe_open import user_path
from actlas.store.remote.path import is_url


class UserPath(click.Path):
    """A path that the user typed; ``--store=~/atlas`` too, which a shell leaves as it is."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, expanded; raises UsageError as ``user_path`` does."""
        if is_url(value):
            return user_path(str(value))
        return super().convert(user_path(os.fspath(value)), param, ctx)
