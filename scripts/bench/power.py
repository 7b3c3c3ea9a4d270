"""Loss of power, imitated: from the recorded steps of a process, the store as a disk may hold it that kept what was synced.

The model is the least that POSIX promises. A write survives if its file was synced after it, a name made or removed if its
folder was; of all else any part may survive, or none.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Step = dict[str, Any]
NAMES = ("mkdir", "rmdir", "unlink", "link", "open", "create")
CONTENT = ("pwritev", "write", "posix_fallocate")
SYNCS = ("fsync", "fdatasync")

#: which of the steps that were not synced survive: none, names without content, content without names, any
SURVIVAL: dict[str, Callable[[Step, random.Random], bool]] = {
    "nothing": lambda _step, _random: False,
    "names": lambda step, _random: step["name"] in NAMES,
    "content": lambda step, _random: step["name"] in CONTENT,
    "any": lambda _step, generator: generator.random() < 0.5,
}


def synced(steps: Sequence[Step]) -> list[bool]:
    """Return of each step whether what it did is on the disk for certain after the last one."""
    safe, files, folders = [False] * len(steps), set(), set()
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if step["name"] in SYNCS:
            files.add(step["file"])
            folders.add(step["path"])
        elif step["name"] in CONTENT:
            safe[number] = step["file"] in files
        elif step["name"] in NAMES:
            safe[number] = str(Path(step["path"]).parent) in folders or step["path"] == "."
        if step["name"] in ("open", "create"):
            files.discard(step["file"])  # syncs after this were of this file, not of an older one with its number
    return safe


def committed(steps: Sequence[Step]) -> set[str]:
    """Return the names of commits that were made and synced: those a writer has told of."""
    made = {number: Path(step["path"]) for number, step in enumerate(steps) if step["name"] == "link"}
    safe = synced(steps)
    return {path.name for number, path in made.items() if path.parent.name == "commits" and safe[number]}


def after_power_loss(steps: Sequence[Step], survival: str, seed: int, place: Path) -> None:
    """Build in ``place`` the store as it may be found when the power fails after the last of ``steps``."""
    generator = random.Random(seed)
    kept = [safe or SURVIVAL[survival](step, generator) for step, safe in zip(steps, synced(steps), strict=True)]
    current: dict[int, bytearray] = {}  # file → what survives of it
    for number, step in enumerate(steps):
        path = place / step["path"]
        if step["name"] in ("open", "create"):
            current[step["file"]] = _content(steps, kept, number)
        if not kept[number] or step["name"] not in NAMES or not (step["path"] == "." or path.parent.is_dir()):
            continue
        if step["name"] == "mkdir":
            path.mkdir(exist_ok=True)
        elif step["name"] == "rmdir":
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        elif step["name"] == "unlink":
            path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            path.write_bytes(current[step["file"]])


def _content(steps: Sequence[Step], kept: Sequence[bool], birth: int) -> bytearray:
    """Return the bytes that survive of the file that step ``birth`` made."""
    content = bytearray()
    for step, survives in zip(steps[birth + 1 :], kept[birth + 1 :], strict=True):
        if step["name"] in ("open", "create") and step["file"] == steps[birth]["file"]:
            break
        if step["name"] in CONTENT and step["file"] == steps[birth]["file"] and survives:
            part = base64.b64decode(step.get("content", ""))
            end = step["size"] if step["name"] == "posix_fallocate" else step["offset"] + len(part)
            content.extend(bytes(max(0, end - len(content))))
            if part:
                content[step["offset"] : end] = part
    return content
