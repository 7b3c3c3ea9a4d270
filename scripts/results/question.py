"""What a result is of, and the name that follows from it.

The same question has the same file, another question another.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actlas.store.format.schema import Json, canonical

if TYPE_CHECKING:
    from actlas.store.runs.run import Run


NAME_DIGITS = 8
LONGEST_WORDS = 40  # characters of a name


@dataclass(frozen=True)
class Question:
    """A stage, the runs it is asked of, and every option that changes its numbers."""

    stage: str
    runs: Sequence[Run]
    options: Mapping[str, Any]
    words: str = ""  # for people, in the file's name: the target word, the edit
    # package that declares the stage → version
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Json:
        """What tells it from others; an export in place of a whole run does."""
        return {
            "stage": self.stage,
            "runs": [run.id for run in self.runs],
            "options": self.all_options,
        }

    @property
    def all_options(self) -> Json:
        """The options, and the limits of runs that are exports."""
        # the limits of an export are part of the question: it may have some layers or tokens
        limits = {name: value for run in self.runs for name, value in run.limits.items()}
        return {**self.options, **limits}

    @property
    def digest(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(canonical(self.record)).hexdigest()

    @property
    def name(self) -> str:
        """Name of its file, without ``.nc``: stage, words, and the first digits of its digest."""
        return "-".join(
            part for part in (self.stage, slug(self.words), self.digest[:NAME_DIGITS]) if part
        )


def slug(text: str) -> str:
    """Return ``text`` as part of a file's name on any system.

    ASCII letters and digits, words joined by ``-``.

    Letters lose their accents; others become their number: ``her``, ``cafe``, ``u5979``.
    """
    parts = [""]
    decomposed = unicodedata.normalize("NFKD", text)  # first: 𝓐 has no lower case of its own
    # casefold can make composed characters again, hence the second normalisation
    for character in unicodedata.normalize("NFKD", decomposed.casefold()):
        if character.isascii() and character.isalnum():
            parts[-1] += character
        elif character.isalnum():
            parts += [f"u{ord(character):x}", ""]
        elif not unicodedata.combining(character):
            parts.append("")
    return "-".join(filter(None, parts))[:LONGEST_WORDS].strip("-")
