"""Ways to damage files, drawn by a seed: the same seed, kind and number do the same harm again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SITES_OF_DAMAGE: dict[str, tuple[tuple[str, ...], ...]] = {
    # what is damaged → sorts of files, each as likely as the others, by patterns below the root
    "store": (
        ("store/runs/*/shards/*",),
        ("store/runs/*/commits/*",),
        ("store/runs/*/packed/*",),
        ("store/runs/*/run.json",),
        ("store/runs/*/labels/*",),
        ("store/store.json",),
    ),
    "results": (("results/*.nc", "study/results/*/*.nc", "other/results/*/*.nc"),),
    "study.json": (("study/study.json", "other/study.json"),),
    "names": (("store/names/*",),),
    "readouts": (("store/readouts/*.h5",),),
    "exports": (("it.h5", "more.h5"),),
}


@dataclass(frozen=True)
class Damage:
    """What was done, in words, and to which files, below the root."""

    words: str
    files: tuple[str, ...]


def damage(root: Path, kind: str, seed: str) -> Damage:
    """Damage a file of ``kind`` below ``root`` as ``seed`` has it."""
    generator = random.Random(seed)
    sorts = [files for patterns in SITES_OF_DAMAGE[kind] if (files := found(root, patterns))]
    files = generator.choice(sorts)
    # a file of the user's, under whatever name he likes: another whole one is no damage
    whole = kind == "exports"
    path, name = (
        generator.choice(files),
        generator.choice([name for name in DAMAGES if not (whole and name in OF_TWO)]),
    )
    others = [other for other in files if other != path and other.read_bytes() != path.read_bytes()]
    if name in OF_TWO and not others:
        name = "bit flipped"
    other = generator.choice(others) if others else path
    path.chmod(0o644)
    other.chmod(0o644)
    detail = DAMAGES[name](path, other, generator)
    places = tuple(
        each.relative_to(root).as_posix() for each in ((path, other) if name in OF_TWO else (path,))
    )
    return Damage(f"{name}: {' and '.join(places)}{detail}", places)


def found(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the files of the patterns that hold anything, sorted."""
    return sorted(
        path
        for pattern in patterns
        for path in root.glob(pattern)
        if path.is_file() and path.stat().st_size
    )


def _flip(path: Path, _: Path, generator: random.Random) -> str:
    content = bytearray(path.read_bytes())
    place, bit = generator.randrange(len(content)), generator.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f", byte {place} bit {bit}"


def _cut(path: Path, _: Path, generator: random.Random) -> str:
    size = generator.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:size])
    return f", to {size} bytes"


def _append(path: Path, _: Path, generator: random.Random) -> str:
    path.write_bytes(path.read_bytes() + generator.randbytes(generator.randint(1, 100)))
    return ""


def _delete(path: Path, _: Path, __: random.Random) -> str:
    path.unlink()
    return ""


def _swap(path: Path, other: Path, _: random.Random) -> str:
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)
    return ""


def _overwrite(path: Path, other: Path, _: random.Random) -> str:
    path.write_bytes(other.read_bytes())
    return ""


def _splice(path: Path, other: Path, generator: random.Random) -> str:
    content, end = path.read_bytes(), other.read_bytes()
    place = generator.randrange(min(len(content), len(end)))
    # as a copy does that was made while the file was replaced
    path.write_bytes(content[:place] + end[place:])
    return f", from byte {place}"


def _noise(path: Path, _: Path, generator: random.Random) -> str:
    content = bytearray(path.read_bytes())
    start = generator.randrange(len(content))
    length = generator.randint(1, min(256, len(content) - start))
    content[start : start + length] = generator.randbytes(length)
    path.write_bytes(content)
    return f", {length} bytes from {start}"


def _zero(path: Path, _: Path, generator: random.Random) -> str:
    content = bytearray(path.read_bytes())
    start = generator.randrange(len(content))
    # a page of zeros: what some file systems leave after a crash
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    path.write_bytes(content)
    return f", from {start}"


DAMAGES: Mapping[str, Callable[[Path, Path, random.Random], str]] = {
    "bit flipped": _flip,
    "cut": _cut,
    "bytes behind it": _append,
    "deleted": _delete,
    "swapped": _swap,
    "overwritten with another": _overwrite,
    "joined to the end of another": _splice,
    "overwritten in part": _noise,
    "zeros in part": _zero,
}
OF_TWO = ("swapped", "overwritten with another")
