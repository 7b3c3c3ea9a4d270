"""Lists of layers as users write them: ``0,12,40-47``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actlas.store.errors import UsageError
from actlas.store.format.parts import ranges


def parse_layers(text: str | None, held: Sequence[int]) -> list[int]:
    """Return the layers of a list such as ``0,12,40-47``, sorted, each once; all where it is None.

    held: the layers that there are. Raises UsageError for what is no such list or names another.
    """
    if text is None:
        return sorted(held)
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if not match:
            raise UsageError(
                f"--layers {text!r}: {part!r} is neither a layer nor a range, "
                "expected such as 0,12,40-47"
            )
        named = range(int(match[1]), int(match[2] or match[1]) + 1)
        if not named or not {named[0], named[-1]} <= set(held) or not set(named) <= set(held):
            raise UsageError(
                f"--layers {text!r}: {part.strip()} is not within {ranges(held)}, "
                "the layers that are stored"
            )
        layers.update(named)
    return sorted(layers)


def spread_out(count: int, most: int) -> list[int]:
    """Return at most about ``most`` of ``range(count)``, evenly spread, the last one always."""
    step = max(1, -(-(count - 1) // (most - 1)))
    return sorted({*range(0, count, step), count - 1})
