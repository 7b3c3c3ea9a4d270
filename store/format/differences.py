"""Which fields two specifications of runs differ in, for people to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.edit_records import EditRecord
from actlas.store.format.schema import (
    Json,
)

DIGEST = re.compile(r"[0-9a-f]{24,}")  # shown by its beginning
ABSENT = "absent"  # stands for a field that only the other specification has


def differences(one: Json, other: Json) -> list[str]:
    """Return the dotted name of each field in which two specifications differ, and both values."""
    left, right = dict(_leaves(one)), dict(_leaves(other))
    return [
        f"{key}: {_shown(left.get(key, ABSENT))} here, {_shown(right.get(key, ABSENT))} there"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, ABSENT) != right.get(key, ABSENT)
    ]


def _leaves(record: Json, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in record.items():
        if key == "edits" and isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(_edit_text, value)) or "none"
        elif isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _edit_text(edit: object) -> str:
    try:
        return EditRecord.from_json(edit).text
    except DamagedStore:
        return quoted(edit)


def _shown(value: object) -> str:
    text = str(value)
    return f"{text[:16]}…" if DIGEST.fullmatch(text) else text
