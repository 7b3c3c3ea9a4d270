"""Failures as one line and an exit code: 2 for wrong usage, 1 for failure, 130 when interrupted."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from typing import NoReturn

import click

from actlas.scripts.terminal.streams import abandon, flushed
from actlas.scripts.terminal.text import printable
from actlas.store.errors import ActlasError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
# characters of a word in a message: no path that a system takes easily is longer
MOST_WORD, KEPT_WORD = (250, 100)
MOST_MESSAGE = 2000
MEMORY = "out of memory: ask for less at a time, or use a machine with more"
THREADS = "the system starts no more threads: allow more of them (`ulimit -u`), or more memory"
FILES = "too many open files: allow more of them (`ulimit -n`)"
FEW_FILES = (errno.EMFILE, errno.ENFILE)
#: words of errors that libraries and Python raise for want of something → what to say
LIMITS = {
    "can't start new thread": THREADS,
    "can't allocate memory": MEMORY,
    os.strerror(errno.ENOMEM): MEMORY,
    os.strerror(errno.EMFILE): FILES,
    os.strerror(errno.ENFILE): FILES,
}
NUL = "embedded null"  # of ValueError, where a path or name has a NUL


def fail(message: str, code: int) -> NoReturn:
    """Print the one line and exit."""
    with contextlib.suppress(OSError):
        click.echo(f"Error: {one_line(message)}", err=True)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    flushed()
    sys.exit(code)


def one_line(message: str) -> str:
    """Return a message on one line, printable, with nothing in it repeated at length."""
    text = printable(" ".join(message.split()))
    # a word of a megabyte, given as a name, is not printed as such
    text = re.sub(rf"\S{{{MOST_WORD},}}", lambda word: f"{word[0][:KEPT_WORD]}…", text)
    return text if len(text) <= MOST_MESSAGE else f"{text[:MOST_MESSAGE]}…"


def failure(error: BaseException) -> tuple[str, int] | None:
    """Return what there is to say of ``error``, and the exit code.

    Returns None for a bug, which keeps its traceback.
    """
    if isinstance(error, click.UsageError):
        where = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        return f"{error.format_message()}{where}", error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, ActlasError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return _of_system(error), FAILURE
    if said := _of_limit(error):
        return said, FAILURE
    if isinstance(error, RecursionError):
        return "an input is nested too deeply to be read: expected a flat file", FAILURE
    if isinstance(error, ValueError) and NUL in str(error):
        return "a path or name has a NUL character: expected text without one", USAGE
    return None


def _of_limit(error: BaseException) -> str | None:
    """Return what there is to say where the process may have no more memory, threads or files.

    Libraries turn that into errors of their own, which name it or were raised while the system's
    was handled.
    """
    if isinstance(error, MemoryError):
        return MEMORY
    said = str(error)
    for words, message in LIMITS.items():
        if words in said and isinstance(error, RuntimeError | ImportError):
            return message
    # h5py and matplotlib raise their own errors from the system's
    before = error.__cause__ or error.__context__
    if isinstance(before, OSError) and before.errno in FEW_FILES:
        return FILES
    return _of_limit(before) if before else None


def _of_system(error: OSError) -> str:
    """Return what the system said, of which file where it says."""
    if error.errno in FEW_FILES:
        return FILES
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        name = error.filename
        return f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {reason}"
    return f"{reason}: the system gave no file; is the disk full, or standard output closed?"


def leave_output(error: BrokenPipeError) -> NoReturn:
    """Exit where the reader of our output is gone, which is no failure of ours to talk about."""
    abandon(sys.stdout)
    sys.exit(FAILURE)
