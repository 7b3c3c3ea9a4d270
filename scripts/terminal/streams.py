"""Standard output and error.

Nothing that is printed steers a terminal, and a reader that is gone is no traceback.

Names, labels and texts come from anywhere. Every character that is written passes here.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import IO

#: C0 and C1 controls but tab, line feed and carriage return; marks that turn the direction of text
STEERING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
MARK = "�"


def visible(text: str) -> str:
    """Return ``text`` with a mark for each character that would steer a terminal."""
    return STEERING.sub(MARK, text)


class VisibleStream(io.TextIOWrapper):
    """A text stream that writes ``visible`` text, and what its encoding lacks as an escape."""

    def write(self, text: str) -> int:
        """Write ``text``, cleaned."""
        super().write(visible(text))
        return len(text)


def use_visible_streams() -> None:
    """Put ``VisibleStream`` in the place of this process's own standard output and error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # a stream that somebody put there, such as pytest, stays theirs
        own = stream is not None and stream is getattr(sys, f"__{name}__")
        if own and isinstance(stream, io.TextIOWrapper) and not isinstance(stream, VisibleStream):
            made = VisibleStream(
                stream.buffer,
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering or name == "stderr",
            )
            setattr(sys, name, made)


def abandon(stream: IO[str]) -> None:
    """Let go of a stream that takes no more.

    Otherwise Python tries again at its end, and complains.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def flushed() -> OSError | None:
    """Flush standard output.

    Return the error of one that takes no more, which is abandoned then.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        abandon(sys.stdout)
        return error
    return None
