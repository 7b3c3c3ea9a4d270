"""Options of ``actlas.extract`` whose form in Python is not that of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actlas.pipeline.inputs.windows import chosen_windows
from actlas.scripts.extraction.kept import kept_numbers
from actlas.scripts.extraction.request import generate_options
from actlas.store.errors import UsageError

KEPT = ("layers", "depths")
TOKENS = "tokens"
CUT = ("window", "stride")
WRITTEN = ("generate", "temperature", "seed")
#: names that ``taken`` takes
NAMES = (*KEPT, TOKENS, *CUT, *WRITTEN)


def taken(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take these options out of ``options``; return the fields they give.

    layers, depths: a number, several, or a text such as ``"0-5,11"``. tokens: a text or several, or
    a position. window, stride: tokens.
    generate: tokens that the model writes behind each prompt; temperature, seed: of sampling.
    The first are of ``ExtractOptions``, the second of ``Request``. Raises UsageError.
    """
    given = {name: options.pop(name, None) for name in NAMES}
    layers, depths = kept_numbers(*(_text(given[name], name) for name in KEPT))
    window, stride, tokens, seed = (
        _whole(given[name], name) for name in (*CUT, "generate", "seed")
    )
    if seed is not None and given["temperature"] is None:
        raise UsageError("seed is of temperature: give both, or neither")
    temperature = given["temperature"]
    if temperature is not None and not isinstance(temperature, int | float):
        raise UsageError(f"temperature is {temperature!r}, expected a number")
    of_request = {
        "windows": chosen_windows(window, stride),
        "generate": generate_options(tokens, temperature, seed),
    }
    kept = {"layers": layers, "depths": depths, TOKENS: _texts(given[TOKENS])}
    return kept, of_request


def _texts(value: Any) -> tuple[str, ...] | None:
    """Return selections of tokens as the command line has them."""
    if value is None:
        return None
    each = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    texts = tuple(str(_whole(one, TOKENS)) if not isinstance(one, str) else one for one in each)
    if not texts:
        raise UsageError(f"{TOKENS} is {value!r}, expected such as 'last' or a position")
    return texts


def _text(value: Any, name: str) -> str | None:
    """Return numbers as the command line has them."""
    if value is None or isinstance(value, str):
        return value
    numbers = value if isinstance(value, Iterable) else [value]
    return ",".join(str(_whole(number, name)) for number in numbers)


def _whole(value: Any, name: str) -> int | None:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # of NumPy
        value = value.item()
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UsageError(f"{name} is {value!r}, expected a whole number")
    return value
