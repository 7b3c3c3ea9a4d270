"""The files of a model folder that decide its token ids.

Which they are, their content and digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from actlas.store.errors import UsageError
from actlas.store.io.safe_open import read_input

CONFIG = "config.json"  # its model_type and tokenizer_class choose the class
#: what transformers' tokenizers read, as patterns; the hub is asked for the same
PATTERNS = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*.json",
    "merges*.txt",
    "vocab*.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
)
#: a vocabulary is one of these sets; the other files only change it
VOCABULARIES = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("*.model",),
    ("*.tiktoken",),
    ("tekken.json",),
)
LARGEST = 128 << 20  # bytes of one file; the largest published tokenizer.json have a third of it


def has_tokenizer(folder: Path) -> bool:
    """Whether ``folder`` holds a vocabulary, in one of the forms that transformers reads."""
    names = [path.name for path in folder.iterdir()]
    return any(
        all(any(fnmatch(name, each) for name in names) for each in one) for one in VOCABULARIES
    )


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Return name and content of all files that decide the token ids, by name.

    Raises UsageError where there is no vocabulary, a file is not a regular one, cannot be read or
    has more than LARGEST bytes.
    """
    if not has_tokenizer(folder):
        raise UsageError(
            f"{folder} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt"
        )
    names = sorted(path.name for path in folder.iterdir() if _decides(path.name))
    try:
        return {name: read_input(folder / name, LARGEST) for name in names}
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read ({error.strerror})") from error


def files_digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of names and contents, each with its length before it."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{len(name)} {len(content)} {name}".encode())
        digest.update(content)
    return digest.hexdigest()


def _decides(name: str) -> bool:
    return name == CONFIG or any(fnmatch(name, pattern) for pattern in PATTERNS)
