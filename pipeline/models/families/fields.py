"""Checks of single fields of config.json, and relations between them, that several families have.

Each check returns the value in one form, or raises ValueError with what is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actlas.store.errors import UsageError

FULL, SLIDING = "full_attention", "sliding_attention"
LARGEST = 1 << 31
REFUSED = ("quantization_config", "pruned_heads", "use_bidirectional_attention")


def optional(least: float, most: float) -> Callable[[Any], float | None]:
    """Return what checks a number that may be left out, from above ``least`` to ``most``."""

    def check(value: Any) -> float | None:
        if value is None:
            return None
        if type(value) in (int, float) and least < value <= most:
            return float(value)
        raise ValueError(f"null or a number above {least:g}, at most {most:g}")

    return check


def positive(value: Any) -> int:
    """Return a whole number above 0, which some files write as 256.0."""
    if type(value) in (int, float) and 0 < value <= LARGEST and int(value) == value:
        return int(value)
    raise ValueError(f"a whole number from 1 to {LARGEST}")


def size_or_none(value: Any) -> int | None:
    """Return a size that may be left open."""
    if value is None or (type(value) is int and 0 < value <= LARGEST):
        return value
    raise ValueError(f"null or a whole number from 1 to {LARGEST}")


def count(value: Any) -> int:
    """Return a whole number from 0 on."""
    if type(value) is int and 0 <= value <= LARGEST:
        return value
    raise ValueError(f"a whole number from 0 to {LARGEST}")


def kinds_of_layers(value: Any) -> list[str] | None:
    """Return the kind of attention of each layer, None where config.json leaves it open."""
    if value is None or (isinstance(value, list) and all(x in (FULL, SLIDING) for x in value)):
        return value
    raise ValueError(f"a list of {FULL} and {SLIDING}")


def check_layers(fields: dict[str, Any], where: str, sliding: Callable[[int], bool]) -> None:
    """Fill in which layers have a window, by their number where config.json does not say.

    Without a window all layers are the same. Raises UsageError for a list of another length.
    """
    layers = fields["num_hidden_layers"]
    if fields["sliding_window"] is None:
        fields["layer_types"] = [FULL] * layers
    elif fields["layer_types"] is None:
        fields["layer_types"] = [SLIDING if sliding(layer) else FULL for layer in range(layers)]
    if len(fields["layer_types"]) != layers:
        raise UsageError(
            f"{where}: layer_types has {len(fields['layer_types'])} entries, expected {layers} "
            "(num_hidden_layers)"
        )
    if SLIDING not in fields["layer_types"]:
        fields["sliding_window"] = None
