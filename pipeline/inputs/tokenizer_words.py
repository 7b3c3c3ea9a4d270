"""The vocabulary as people read it, in the process that tokenizes; see ``tokenizer_process``.

A token alone is written without the space that it stands for in a sentence, by some decoders. So
each is decoded behind another, and what that gives by itself is taken off: `` her``, ``ing``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

BEFORE = "x"  # a text whose last token stands before each
UNDECODED = "\ufffd"  # of a token that is a part of a character


def vocabulary(tokenizer: Any, size: int, reason: Callable[[BaseException], str]) -> bytes:
    """Return the fourth frame: JSON ``{"words": [CHARACTERS, …]}``, or ``{"refused": WHY}``."""
    try:
        return json.dumps({"words": _words(tokenizer, size)}).encode()
    except BaseException as error:  # a panic in Rust is no Exception
        return json.dumps({"refused": reason(error)}).encode()


def _words(tokenizer: Any, size: int) -> list[str]:
    before = tokenizer.encode(BEFORE, add_special_tokens=False).ids[-1:]
    alone = tokenizer.decode(before, skip_special_tokens=False)
    tokens = [tokenizer.id_to_token(number) for number in range(size)]
    pairs = [[*before, number] for number, token in enumerate(tokens) if token is not None]
    decoded = iter(tokenizer.decode_batch(pairs, skip_special_tokens=False))
    return ["" if token is None else _word(token, next(decoded), alone) for token in tokens]


def _word(token: str, decoded: str, alone: str) -> str:
    """Return what a token adds to the text before it; its own name where that is no text."""
    added = decoded.removeprefix(alone)
    if not added or added == decoded != alone + added or UNDECODED in added:
        return token
    return added
