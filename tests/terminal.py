"""Commands under a pseudo-terminal: what a user's terminal is sent, byte for byte.

click strips escape sequences where the output is no terminal, and tqdm draws only on one: a pipe
does not show either.
"""

import os
import pty
import select
import subprocess
import sys
import time

SECONDS = 120
ROWS, COLUMNS = 24, 80


def run_on_terminal(folder, *arguments, keys=b"", environment=None, timeout=SECONDS):
    """Run ``actlas`` in ``folder`` with a terminal as standard input, output and error.

    Return exit code and raw bytes.

    keys: what is typed. The bytes are those that a terminal would get: line ends are CR LF, errors
    stand among the output.
    """
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "actlas.scripts", *map(str, arguments)]
    variables = {
        **os.environ,
        "TERM": "xterm",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
        **(environment or {}),
    }
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=variables,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        os.write(main, keys)
        return _ended(process, main, time.monotonic() + timeout)
    finally:
        process.kill()
        process.wait()
        os.close(main)


def _ended(process, main, end):
    """Return exit code and output when the process has ended and nothing is left to read."""
    said = b""
    while time.monotonic() < end:
        ready, _, _ = select.select([main], [], [], 0.1)
        try:
            said += os.read(main, 1 << 16) if ready else b""
        except OSError:  # Linux's way to say that nobody has the other end open
            return process.wait(timeout=SECONDS), said
        if not ready and process.poll() is not None:
            return process.returncode, said
    raise TimeoutError(f"{process.args} did not end; it said {said[-500:]!r}")


def escapes(said):
    """Return the escape sequences among raw bytes, to their first letter."""
    parts = said.split(b"\x1b")[1:]
    return [
        part[
            : next((place + 1 for place, byte in enumerate(part) if chr(byte).isalpha()), len(part))
        ]
        for part in parts
    ]
