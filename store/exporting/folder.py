"""A folder that appears whole: filled under a temporary name, synced, renamed without overwriting.

A temporary folder is locked while its writer lives; the next export to the same place removes those
of the dead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import StoreError, UsageError
from actlas.store.io.durable import naming, publish_folder, remedy_of
from actlas.store.io.workspace import workspace


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes ``out`` at the end; after an error nothing stays.

    Raises UsageError where ``out`` has no folder to lie in, StoreError where it is there already
    or the disk is full.
    """
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a directory: give OUT in one that is there")
    drafts = out.with_name(f".{out.name}.draft")
    try:
        with workspace(drafts) as work:  # which removes what killed exports left, also where …
            if os.path.lexists(out):  # … one of them was done
                raise _taken(out)
            draft = work.folder / "whole"
            draft.mkdir()
            yield draft
            _sync(draft)
            if not publish_folder(draft, out):
                raise _taken(out)
    except OSError as error:
        raise StoreError(
            f"cannot write {out}: {error.strerror or error}: {remedy_of(error)}"
        ) from error
    finally:
        for folder in (drafts / "tmp", drafts):
            with contextlib.suppress(OSError):  # not there, or another export is at work in it
                folder.rmdir()


def _taken(out: Path) -> StoreError:
    return StoreError(f"{out} is there already: remove it, or give another OUT")


def _sync(folder: Path) -> None:
    """Sync all files and folders in ``folder``: libraries close what they write, and no more."""
    for place, _, names in os.walk(folder):
        for path in (*(Path(place) / name for name in names), Path(place)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                with naming(path):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
