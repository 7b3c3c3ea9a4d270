"""The seal of a report: a comment at its end with the checksum of all before it."""

from __future__ import annotations

import re
from pathlib import Path

import xxhash

from actlas.analysis.results.seals import DamagedResult
from actlas.store.io.safe_open import read_input

ENDING = re.compile(rb"<!-- actlas-report XXH3-128 ([0-9a-f]{32}) -->\n")
ENDING_BYTES = 65
LARGEST = 1 << 30


def seal_comment(content: bytes) -> bytes:
    """Return what stands behind ``content``."""
    return f"<!-- actlas-report XXH3-128 {xxhash.xxh3_128_hexdigest(content)} -->\n".encode()


def check_report(path: Path) -> None:
    """Raise DamagedResult for a report that was altered or cut short."""
    content = read_input(path, LARGEST, DamagedResult)
    ending = ENDING.fullmatch(content[-ENDING_BYTES:])
    if not ending or ending[1].decode() != xxhash.xxh3_128_hexdigest(content[:-ENDING_BYTES]):
        raise DamagedResult(
            f"{path} was altered or cut short: `actlas report {path.parent}` makes it again"
        )
