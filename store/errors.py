"""What can go wrong for reasons the user can repair.

One line that says what was found, what was wanted, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

MOST_KNOWN = 20  # valid names that an error lists
MOST_SHOWN = 100  # characters of an input that a message repeats


class ActlasError(Exception):
    """A failure with a one-line message; commands exit with ``exit_code``."""

    exit_code = 1


class ActlasWarning(UserWarning):
    """What is worth a look and no failure: lines that were skipped, an edit without effect."""


class UsageError(ActlasError):
    """The request itself is wrong.

    An unknown name, a directory that is not a store, a device that is missing.
    """

    exit_code = 2


class InputError(ActlasError):
    """The sentences cannot be used as they are; the message names the line."""


class StoreError(ActlasError):
    """The store cannot take or give what was asked."""


class DamagedStore(StoreError):
    """A committed file is missing, short or altered; the message names it."""


class LaterRecord(DamagedStore):
    """A record is whole and of a later version of its format: nothing of it is to be replaced."""


class IncompleteRun(StoreError):
    """A run does not hold all that was asked of it; the message says which command adds it."""


def quoted(value: object) -> str:
    """Return ``value`` in quotes for a message.

    On one line, control characters escaped, at most 100 characters.
    """
    text = str(value)
    return repr(text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…")


def unknown(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among ``valid``, the nearest valid names first."""
    names = sorted(valid)
    more = f" and {len(names) - MOST_KNOWN} more" if len(names) > MOST_KNOWN else ""
    if not names:
        return UsageError(f"unknown {kind} {quoted(name)}: there is none yet")
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UsageError(
        f"unknown {kind} {quoted(name)}: {hint}known: {', '.join(names[:MOST_KNOWN])}{more}"
    )


def missing(path: Path) -> str:
    """Return what is to be said of a shard that is not there."""
    again = "open the run again if it was packed or removed meanwhile"
    return f"{path} is missing: see `actlas verify`, or {again}"
