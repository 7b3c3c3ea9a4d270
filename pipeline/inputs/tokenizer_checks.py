"""What the files of a tokenizer must not say, looked at before transformers reads them.

A part of the program of ``tokenizer_process``, which loads it from its file: it imports nothing of
actlas either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IDS = 1 << 24  # ids are below; the library works through all ids up to the largest


class Refused(Exception):
    """These files give no tokenizer that can be used; the message says why."""


def check_within(folder: str) -> None:
    """Raise Refused where the settings name a file elsewhere.

    Some versions of transformers would read it.
    """
    path = Path(folder, "tokenizer_config.json")
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    if not isinstance(settings, dict):
        raise Refused("tokenizer_config.json is not a JSON object")
    named = {
        key: value
        for key, value in settings.items()
        if key.endswith("_file") and key != "special_tokens_map_file"
    }
    for number, value in enumerate(settings.get("fast_tokenizer_files") or []):
        named[f"fast_tokenizer_files[{number}]"] = value
    for key, value in named.items():
        if isinstance(value, str) and os.sep in value and Path(folder, value).exists():
            raise Refused(
                f"tokenizer_config.json names a file outside the folder ({key}): remove that"
            )


def check_ids(folder: str) -> None:
    """Raise Refused where a JSON file gives a token an id that none has."""
    for path in Path(folder).glob("*.json"):
        content = json.loads(path.read_bytes())
        ids = (
            [value for value in _ids(path.name, content) if isinstance(value, int)]
            if isinstance(content, dict)
            else []
        )
        if (largest := max(ids, default=0)) >= IDS:
            raise Refused(
                f"{path.name} has a token id {str(largest)[:40]}, expected ids below {IDS}"
            )


def _ids(name: str, content: dict[str, Any]) -> Iterator[Any]:
    """Yield what stands for ids in a file of that name, whatever it is."""
    if name.startswith(("vocab", "added_tokens")):
        yield from content.values()
        return
    yield from (
        int(number) for number in content.get("added_tokens_decoder") or () if number.isdecimal()
    )
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    yield from vocabulary.values() if isinstance(vocabulary, dict) else ()
    yield from (
        (token.get("id") for token in added if isinstance(token, dict))
        if isinstance(added, list)
        else ()
    )
