"""What the installed transformers does, found without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

#: a model's code calls attention by its name, or it has a method that gets queries and keys
WAYS_IN = ("ALL_ATTENTION_FUNCTIONS", "def _attn(")


@cache
def version() -> str:
    """Return the version of transformers."""
    return importlib.metadata.version("transformers")


@cache
def hands_attention_over(model_type: str) -> bool:
    """Whether the code of a family lets others see what goes into attention.

    Some families came to it late, and some never: what a version does counts, not its number.
    """
    found = importlib.util.find_spec("transformers")
    if found is None or found.origin is None:
        return False
    name = "gemma3" if model_type == "gemma3_text" else model_type
    code = Path(found.origin).parent / "models" / name / f"modeling_{name}.py"
    text = code.read_text(encoding="utf-8") if code.is_file() else ""
    return any(way in text for way in WAYS_IN)
