"""Loss of power, imitated.

The recorded steps of a process give the folder as a disk may hold it that kept what was synced.

The model is the least that POSIX promises. A write survives if its file was synced after it, a name
made or removed if its folder was; of all else any part may survive, or none. What was there before
is safe.
"""

from __future__ import annotations

import base64
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Step = dict[str, Any]
BIRTHS = ("open", "create")
RENAMES = ("rename", "replace")
NAMES = ("mkdir", "rmdir", "unlink", "remove", "link", *RENAMES, *BIRTHS)
CONTENT = ("pwritev", "pwrite", "file write", "posix_fallocate")
SYNCS = ("fsync", "fdatasync")

#: which of the steps that were not synced survive: none, names without content, content without
#: names, any
SURVIVAL: dict[str, Callable[[Step, random.Random], bool]] = {
    "nothing": lambda _step, _random: False,
    "names": lambda step, _random: step["name"] in NAMES,
    "content": lambda step, _random: step["name"] in CONTENT,
    "any": lambda _step, generator: generator.random() < 0.5,
}


def recorded(steps: Sequence[Step]) -> bool:
    """Whether the bytes of all files are known.

    A file that gets another name was made and written in these steps.
    """
    made = {step["file"] for step in steps if step["name"] in BIRTHS}
    written = {step["file"] for step in steps if step["name"] in CONTENT}
    moved = [step for step in steps if step["name"] in RENAMES and not step["folder"]]
    return bool(steps) and all(step["file"] in written & made for step in moved)


def synced(steps: Sequence[Step]) -> list[bool]:
    """Return of each step whether what it did is on the disk for certain after the last one."""
    safe, files, folders = [False] * len(steps), set(), set()
    # backwards: a sync makes safe what was done to its file or folder before it
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if step["name"] in SYNCS:
            files.add(step["file"])
            folders.add(step["path"])
        elif step["name"] in CONTENT:
            safe[number] = step["file"] in files
        elif step["name"] in NAMES:
            safe[number] = str(Path(step["path"]).parent) in folders or step["path"] == "."
        if step["name"] in BIRTHS and step.get("new", True):
            # syncs after this were of this file, not of an older one with its number
            files.discard(step["file"])
    return safe


def committed(steps: Sequence[Step]) -> set[str]:
    """Return the paths of what was linked to its name and synced: what a writer has reported."""
    made = {
        number: Path(step["path"]) for number, step in enumerate(steps) if step["name"] == "link"
    }
    safe = synced(steps)
    return {path.as_posix() for number, path in made.items() if safe[number]}


def after_power_loss(steps: Sequence[Step], survival: str, seed: int, place: Path) -> None:
    """Make of ``place``, as it was before.

    What may be found when the power fails after the last of ``steps``.
    """
    generator = random.Random(seed)
    # what was not synced is drawn step by step, so names and contents can come apart
    kept = [
        safe or SURVIVAL[survival](step, generator)
        for step, safe in zip(steps, synced(steps), strict=True)
    ]
    current: dict[int, bytes] = {}  # file → what survives of it
    for number, step in enumerate(steps):
        path = place / step["path"]
        if step["name"] in BIRTHS:
            old = b"" if step.get("new", True) or not path.is_file() else path.read_bytes()
            current[step["file"]] = _content(steps, kept, number, old)
        if kept[number] and step["name"] in NAMES and (step["path"] == "." or path.parent.is_dir()):
            _apply(step, path, place, current)


def _apply(step: Step, path: Path, place: Path, current: dict[int, bytes]) -> None:
    """Make or remove a name."""
    name = step["name"]
    if name == "mkdir":
        path.mkdir(exist_ok=True)
    elif name == "rmdir":
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    elif name in ("unlink", "remove"):
        path.unlink(missing_ok=True)
    elif name in RENAMES and step["file"] not in current:  # a folder, or a file of before
        if (place / step["source"]).exists():
            shutil.move(place / step["source"], path)
    else:
        content = current.get(step["file"])
        if content is None and (place / step["source"]).is_file():
            content = (place / step["source"]).read_bytes()
        path.unlink(missing_ok=True)
        path.write_bytes(content or b"")
        if name in RENAMES:
            (place / step["source"]).unlink(missing_ok=True)


def _content(steps: Sequence[Step], kept: Sequence[bool], birth: int, old: bytes) -> bytes:
    """Return the bytes that survive of the file that step ``birth`` made."""
    content, file = bytearray(old), steps[birth]["file"]
    for step, survives in zip(steps[birth + 1 :], kept[birth + 1 :], strict=True):
        if step["name"] in BIRTHS and step["file"] == file and step.get("new", True):
            break
        if step["name"] in CONTENT and step["file"] == file and survives:
            part = base64.b64decode(step.get("content", ""))
            end = step["size"] if step["name"] == "posix_fallocate" else step["offset"] + len(part)
            # a hole that was never written reads as zeros
            content.extend(bytes(max(0, end - len(content))))
            if part:
                content[step["offset"] : end] = part
    return bytes(content)
