"""What the installed transformers does, found without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

INTERFACE = "ALL_ATTENTION_FUNCTIONS"  # by which a model's code calls attention by its name


@cache
def version() -> str:
    """Return the version of transformers."""
    return importlib.metadata.version("transformers")


@cache
def calls_attention_by_name(model_type: str) -> bool:
    """Whether the code of a family lets others put their implementation of attention in.

    Some families came to it late, and some never: what a version does counts, not its number.
    """
    found = importlib.util.find_spec("transformers")
    if found is None or found.origin is None:
        return False
    name = "gemma3" if model_type == "gemma3_text" else model_type
    code = Path(found.origin).parent / "models" / name / f"modeling_{name}.py"
    return code.is_file() and INTERFACE in code.read_text(encoding="utf-8")
