"""Conditions on a token: what can stand behind ``NAME=`` in ``--group``.

Each is a frozen dataclass that prints as it is written; all alternatives are joined by ``|``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Literal

from actlas.store.errors import UsageError, quoted

NumberKind = Literal["id", "length", "position", "freq"]
NUMBERS: tuple[NumberKind, ...] = ("id", "length", "position", "freq")
KEYS = ("word", "text", "regex", *NUMBERS)
LIST = ".txt"  # ends the name of a file of words
MOST = 10**9  # of a number
_SPECIAL = re.compile(r"[\\,|@]")
#: an escaped character of a pattern, or one that would end it in a list of conditions
_IN_PATTERN = re.compile(r"\\.|[,@]", re.DOTALL)


def escaped(text: str) -> str:
    """Return ``text`` as one alternative: ``, | @`` and the backslash behind a backslash."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _alternatives(key: str, values: tuple[str, ...]) -> str:
    return f"{key}:{'|'.join(map(escaped, values))}"


@dataclass(frozen=True)
class Word:
    """A whole word, one of several; upper and lower case are equal unless they are to differ."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise UsageError for no word, or one that is blank or the name of a list."""
        for word in self.words or ("",):
            if not word or word != word.strip():
                raise UsageError(f"the word {quoted(word)} is blank or has spaces around it")
            if word.endswith(LIST):
                raise UsageError(f"word:{word}: a list of words stands alone, as in word:NOUNS.txt")

    def __str__(self) -> str:
        """Return such as ``a|an``."""
        text = _alternatives("word", self.words)
        bare = text.removeprefix("word:")
        return text if ":" in bare or bare.startswith("!") else bare


@dataclass(frozen=True)
class WordList:
    """The words of a file, a word a line."""

    file: str

    def __post_init__(self) -> None:
        """Raise UsageError for a name that does not end in .txt."""
        if not self.file.endswith(LIST) or self.file != self.file.strip():
            raise UsageError(f"word:{self.file}: expected a file that ends in {LIST}")

    def __str__(self) -> str:
        """Return such as ``word:nouns.txt``."""
        return _alternatives("word", (self.file,))


@dataclass(frozen=True)
class Text:
    """The token's own characters, without spaces around them."""

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise UsageError for no text, or one with spaces around it."""
        for text in self.texts or (" ",):
            if text != text.strip():
                raise UsageError(f"text:{text!r}: tokens are compared without spaces around them")

    def __str__(self) -> str:
        r"""Return such as ``text:\,|;``."""
        return _alternatives("text", self.texts)


@dataclass(frozen=True)
class Regex:
    """A pattern that is found in the token's characters, its space included."""

    pattern: str

    def __post_init__(self) -> None:
        """Raise UsageError for what is not a pattern; an escaped comma is a comma."""
        plain = _IN_PATTERN.sub(lambda found: _plain(found[0]), self.pattern)
        object.__setattr__(self, "pattern", plain)
        try:
            self.compiled()
        except (re.error, OverflowError, RecursionError) as error:
            reason = f"{str(error)[:100]}"
            raise UsageError(f"regex:{quoted(self.pattern)} is not a pattern: {reason}") from error

    def compiled(self) -> re.Pattern[str]:
        """Return the pattern as Python's ``re`` takes it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # such as on "[[", which may change
            return re.compile(self.pattern)

    def __str__(self) -> str:
        """Return such as ``regex:^ ?[A-Z]``."""
        return "regex:" + _IN_PATTERN.sub(
            lambda found: found[0] if found[0][0] == "\\" else f"\\{found[0]}", self.pattern
        )


def _plain(found: str) -> str:
    return found[1] if found in (r"\,", r"\@") else found


@dataclass(frozen=True)
class Numbers:
    """A number of the token within one of several ranges, both ends included.

    ``id`` in the vocabulary, ``length`` in characters, ``position`` in the sentence (negative ones
    from its end), ``freq`` how often the run has its id.
    """

    kind: NumberKind
    ranges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Raise UsageError for no range, or one that is empty or out of bounds."""
        for low, high in self.ranges or ((1, 0),):
            if low > high or (low < 0) != (high < 0) or max(abs(low), abs(high)) > MOST:
                raise UsageError(f"{self.kind}:{_range(low, high)} is not a range, such as 1-3")
            if low < 0 and self.kind != "position":
                raise UsageError(f"{self.kind}:{_range(low, high)} is below 0: expected 0 or more")

    def __str__(self) -> str:
        """Return such as ``length:1-3``."""
        return f"{self.kind}:{'|'.join(_range(low, high) for low, high in self.ranges)}"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


@dataclass(frozen=True)
class Column:
    """A label of the token or of its sentence that has one of several values."""

    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise UsageError for a name that is none, or for no value."""
        if not self.name or _SPECIAL.search(self.name) or ":" in self.name or self.name in KEYS:
            raise UsageError(f"the column name {quoted(self.name)} cannot be a condition")
        if self.name != self.name.strip() or self.name.startswith("!"):
            raise UsageError(f"the column name {quoted(self.name)} cannot be a condition")
        if not self.values:
            raise UsageError(f"{self.name}: expected a value, such as {self.name}:a|b")

    def __str__(self) -> str:
        """Return such as ``use:object``."""
        return _alternatives(self.name, self.values)


Positive = Word | WordList | Text | Regex | Numbers | Column


@dataclass(frozen=True)
class Not:
    """What a condition does not hold for; of a word, tokens that are part of none."""

    condition: Positive

    def __str__(self) -> str:
        """Return such as ``!text:.``."""
        return f"!{self.condition}"


Condition = Positive | Not
