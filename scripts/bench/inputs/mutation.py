"""Inputs that are nearly right: bytes and JSON values changed a little, as fuzzers do."""

from __future__ import annotations

import json
import random
from typing import Any

#: what parsers stumble over
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, 0.5, float("nan"), float("inf")),
    *(
        "",
        "x",
        "\x1b[2J",
        "\u202e",
        "a" * 70_000,
        "../../etc/passwd",
        "\0",
        "NaN",
        "1e400",
        "\ud800",
    ),
    *([], {}, [[]], [0] * 1000, {"a": {"a": {}}}),
)
ODD_BYTES = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n\n",
        b"\x1b]0;x\x07",
        b"\xf0\x9f\x98\x80",
        b"\\u0000",
    ),
    *(b'"', b"'", b",", b";", b"{", b"[" * 2000, b"}", b"=", b":", b"|", b"*", b"-", b"$", b"::2"),
    *(b"1e400", b"9" * 5000, b"NaN", b"<!ENTITY a 'b'>", b"&a;"),
)
MOST = 1 << 20  # bytes of an input


def mutated(content: bytes, generator: random.Random, other: bytes = b"") -> bytes:
    """Return ``content`` changed in one to four places; with ``other``, maybe spliced with it."""
    # half of the inputs stay well-formed JSON, which gets past the parser to the checks behind it
    if generator.random() < 0.5:
        changed = changed_json(content, generator)
        if changed is not None:
            return changed[:MOST]
    for _ in range(generator.randint(1, 4)):
        content = generator.choice(_BYTES)(content, generator, other)
    return content[:MOST]


def changed_json(content: bytes, generator: random.Random) -> bytes | None:
    """Return JSON, or the first line of JSON.

    One value is changed, dropped, doubled or renamed. Returns None for what is no JSON.
    """
    start = 8 if content[8:9] == b"{" else 0  # safetensors: behind the length
    try:
        value = json.loads(content[start:])
    except (ValueError, RecursionError):
        return None
    places = list(_places(value))
    if not places:
        return None
    parent, key = generator.choice(places)
    what = generator.randrange(4)
    if what == 0 and isinstance(parent, dict):
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent[str(key) + generator.choice("x \0")] = parent.pop(key)
    elif what == 2:
        parent[key] = [parent[key]]
    else:
        parent[key] = generator.choice(ODD_VALUES)
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    # safetensors: the length of the header as 8 bytes in front
    return len(text).to_bytes(8, "little") + text if start else text


def _places(value: Any, depth: int = 0) -> Any:
    """Yield every container below ``value`` with each of its keys."""
    keys: Any = (
        value.keys()
        if isinstance(value, dict)
        else range(min(len(value), 50))
        if isinstance(value, list)
        else ()
    )
    for key in list(keys):
        yield value, key
        if depth < 6:
            yield from _places(value[key], depth + 1)


def _flip(content: bytes, generator: random.Random, _: bytes) -> bytes:
    if not content:
        return b"\0"
    changed, place = bytearray(content), generator.randrange(len(content))
    changed[place] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _cut(content: bytes, generator: random.Random, _: bytes) -> bytes:
    return content[: generator.randint(0, len(content))]


def _insert(content: bytes, generator: random.Random, _: bytes) -> bytes:
    place = generator.randint(0, len(content))
    return content[:place] + generator.choice(ODD_BYTES) + content[place:]


def _drop(content: bytes, generator: random.Random, _: bytes) -> bytes:
    place = generator.randint(0, len(content))
    return content[:place] + content[place + generator.randint(1, 16) :]


def _double(content: bytes, generator: random.Random, _: bytes) -> bytes:
    # a part many times over, such as a nesting that grows
    place = generator.randint(0, len(content))
    part = content[place : place + generator.randint(1, 200)]
    return content[:place] + part * generator.choice((2, 3, 50)) + content[place:]


def _noise(content: bytes, generator: random.Random, _: bytes) -> bytes:
    place = generator.randint(0, len(content))
    part = generator.randbytes(generator.randint(1, 8))
    return content[:place] + part + content[place + len(part) :]


def _splice(content: bytes, generator: random.Random, other: bytes) -> bytes:
    return content[: generator.randint(0, len(content))] + other[generator.randint(0, len(other)) :]


_BYTES = (_flip, _cut, _insert, _drop, _double, _noise, _splice)
