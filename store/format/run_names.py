"""Names of runs: what can be one, how a file's name becomes one.

Those of variants follow from their baseline's.

A name is a file in the store's folder ``names``, so it is safe as one on every file system.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from actlas.store.errors import UsageError, quoted
from actlas.store.format.edit_records import EditRecord
from actlas.store.format.schema import RUN_ID

# of a name; file systems take 255 bytes, and drafts of a file have some more
MOST_LETTERS, MOST_BYTES = 100, 200
ROOM = 15  # letters and bytes that are left for a number behind a name
LEAST_LETTERS = 20  # of a baseline's name in those of its variants
MARKS = "._-"
GAP = "\0"  # stands for a character that no name has
IN_NAMES = str.maketrans({"=": "-", ",": "-", ":": "_", "+": "."})  # of the text of an edit
RULE = (
    "letters and digits of any script, '.', '_' and '-', a letter or digit first, "
    "at most 100 characters and 200 bytes"
)


def is_run_name(text: str) -> bool:
    """Whether ``text`` can be a file in ``names``: see RULE; in Unicode's composed form (NFC)."""
    return (
        0 < len(text) <= MOST_LETTERS
        and all(map(_is_part, text))
        and unicodedata.category(text[0])[0] in "LN"
        and unicodedata.is_normalized("NFC", text)
        and len(text.encode()) <= MOST_BYTES
    )


def check_run_name(name: str) -> None:
    """Raise UsageError unless ``name`` can be the name of a run."""
    if not is_run_name(name) or RUN_ID.fullmatch(name):
        raise UsageError(
            f"bad run name {quoted(name)}: expected {RULE}, and not the form of a run id"
        )


def cleaned(text: str) -> str:
    """Return ``text`` as a run can be called, nothing where no letter of it can stay.

    Cut so that a number fits behind it.
    """
    composed = unicodedata.normalize("NFC", text)
    parts = [character if _is_part(character) else GAP for character in composed]
    name = "-".join(part for part in "".join(parts).split(GAP) if part).lstrip(MARKS)
    while name and unicodedata.category(name[0])[0] == "M":  # a vowel sign without its letter
        name = name[1:].lstrip(MARKS)
    name = shortened(name, MOST_LETTERS - ROOM, MOST_BYTES - ROOM).rstrip(MARKS)
    return f"run-{name}" if RUN_ID.fullmatch(name) else name


def spelled(text: str) -> str:
    """Return a name for a text without any letter or digit, such as ``u1f642`` for an emoji.

    Other texts, other names.
    """
    return "-".join(f"u{ord(character):x}" for character in text[:8])


def shortened(text: str, letters: int, nbytes: int) -> str:
    """Return the beginning of ``text`` that has at most so many characters and bytes of UTF-8.

    No mark torn from its letter.
    """
    end = min(len(text), letters)
    while len(text[:end].encode()) > nbytes or (
        end < len(text) and unicodedata.category(text[end])[0] == "M"
    ):
        end -= 1
    return text[:end]


def variant_suffix(edits: Iterable[EditRecord]) -> str:
    """Return what stands behind the name of the baseline in the name of a variant.

    Such as ``skip-layer-3``.

    Different edits have different suffixes: ``dims=::2`` is ``dims-__2``, ``dims=0+2`` is
    ``dims-0.2``.
    """
    return ".".join(edit.text.replace(":", "-", 1).translate(IN_NAMES) for edit in edits)


def variant_name(baseline: str, edits: Iterable[EditRecord]) -> str:
    """Return the name of a variant.

    Its edits stand in it whole unless they alone are longer than a name may be.
    """
    suffix = variant_suffix(edits)
    letters = max(MOST_LETTERS - ROOM - 1 - len(suffix), LEAST_LETTERS)
    nbytes = max(MOST_BYTES - ROOM - 1 - len(suffix), LEAST_LETTERS)
    return f"{shortened(baseline, letters, nbytes)}.{suffix}"


def _is_part(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in MARKS
