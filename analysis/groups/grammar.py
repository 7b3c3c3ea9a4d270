r"""How a group is written: ``NAME=CONDITION[,CONDITION…][@OFFSET]``.

All conditions hold. ``a|an`` is a word; ``word: text: regex: id: length: position: freq:`` and
``COLUMN:`` begin the others, ``!`` turns one around. ``, | @`` are escaped by a backslash. ``@-1``
is the token before each match, in its sentence. Parsing what was printed gives the same group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from actlas.analysis.data.group_names import ALL, FIRST, LATER, REST, SPECIAL
from actlas.analysis.groups.conditions import (
    LIST,
    NUMBERS,
    Column,
    Condition,
    Not,
    Numbers,
    Positive,
    Regex,
    Text,
    Word,
    WordList,
)
from actlas.store.errors import UsageError, quoted
from actlas.store.io.safe_open import read_input

OWN = (FIRST, LATER, SPECIAL, ALL)  # groups that every run has  # those of every run
LONGEST_NAME = 60
FARTHEST = 10**6  # of an offset
MOST_BYTES = 1 << 20  # of a list of words
EXAMPLE = "expected NAME=CONDITION, such as singular=a|an"
_RANGE = re.compile(r"(-?\d{1,10})(?:-(-?\d{1,10}))?")
_OFFSET = re.compile(r"[+-]?\d{1,7}")
_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Group:
    """A group of tokens: all of its conditions hold, ``offset`` tokens away.

    name: free, but none that actlas uses itself, without ``=`` and ``:``.
    """

    name: str
    conditions: tuple[Condition, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for a name that cannot be one, no condition, or an offset too large."""
        check_name(self.name)
        if not self.conditions:
            raise UsageError(f"group {quoted(self.name)} has no condition: {EXAMPLE}")
        if abs(self.offset) > FARTHEST:
            raise UsageError(f"group {quoted(self.name)}: offset @{self.offset} is too large")

    def __str__(self) -> str:
        """Return the group as it is written."""
        return f"{self.name}={self.condition_text}"

    @property
    def condition_text(self) -> str:
        """What stands behind the name."""
        offset = f"@{self.offset}" if self.offset else ""
        return ",".join(map(str, self.conditions)) + offset


def check_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a group."""
    if not name or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"{quoted(name)} cannot be the name of a group: {EXAMPLE}")
    if set("=:") & set(name):
        raise UsageError(f"the group's name {quoted(name)} has a '=' or ':': choose another")
    if name == REST or name in OWN:
        raise UsageError(f"the group's name {quoted(name)} is one that actlas uses itself")


def parse_group(text: str) -> Group:
    """Return the group that ``text`` says; raises UsageError, one line, for what cannot be one."""
    name, equals, rest = text.partition("=")
    if not equals or not rest.strip():
        raise UsageError(f"--group {quoted(text)}: {EXAMPLE}")
    try:
        return parse_conditions(name.strip(), rest)
    except UsageError as error:
        raise UsageError(f"--group {quoted(text)}: {error}") from error


def parse_conditions(name: str, text: str) -> Group:
    """Return the group called ``name`` of what stands behind ``=``."""
    *before, last = _split(text, "@")
    offset = 0
    if before:
        if len(before) > 1 or not _OFFSET.fullmatch(last.strip()):
            raise UsageError(
                f"offset {quoted('@' + last)}: expected one number at the end, such as @-1 (a "
                r"literal @ is \@)"
            )
        offset, text = int(last), before[0]
    return Group(name, tuple(map(_condition, _split(text, ","))), offset)


def _condition(text: str) -> Condition:
    bare = text.lstrip()
    if not bare:
        raise UsageError("a condition is empty: expected such as a|an, or word:a|an,use:object")
    if bare[0] == "!":
        if bare[1:].lstrip().startswith("!"):
            raise UsageError(f"{quoted(bare)}: one ! is enough")
        return Not(_positive(bare[1:].lstrip()))
    return _positive(bare)


def _positive(text: str) -> Positive:
    key, *values = _split(text, ":", 1)
    if not values or not key:  # a word, which may be ":" itself
        return _words(tuple(_plain(each).strip() for each in _split(text, "|")))
    key, value = key.strip(), values[0]
    if key == "regex":
        return Regex(value)
    alternatives = tuple(map(_plain, _split(value, "|")))
    if key == "word":
        return _words(tuple(each.strip() for each in alternatives))
    if key == "text":
        return Text(tuple(each.strip() for each in alternatives))
    for kind in NUMBERS:
        if key == kind:
            return Numbers(kind, tuple(_range(kind, each) for each in alternatives))
    return Column(key, alternatives)


def _words(words: tuple[str, ...]) -> Word | WordList:
    if not all(words):
        raise UsageError(r"a word is empty: a literal comma or bar is \, or \|")
    return WordList(words[0]) if len(words) == 1 and words[0].endswith(LIST) else Word(words)


def _range(kind: str, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{kind}:{text}: expected a number or a range, such as {kind}:1-3")
    return int(match[1]), int(match[2] or match[1])


def _split(text: str, at: str, most: int = -1) -> list[str]:
    """Return ``text`` cut at each ``at`` that has no backslash before it, escapes kept."""
    parts, start, place = [], 0, 0
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] == at and most != 0:
            parts.append(text[start:place])
            start, most = place + 1, most - 1
        place += 1
    return [*parts, text[start:]]


def _plain(text: str) -> str:
    return _PAIR.sub(r"\1", text)


def parse_groups(texts: Mapping[str, str] | tuple[str, ...]) -> tuple[Group, ...]:
    """Return the groups of ``NAME=CONDITION`` texts, or of a mapping of names to conditions.

    Raises UsageError for a name that stands twice.
    """
    if isinstance(texts, Mapping):
        groups = []
        for name, text in texts.items():
            check_name(name)
            groups.append(parse_group(f"{name}={text}"))
    else:
        groups = [parse_group(text) for text in texts]
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"group {quoted(name)} is given twice: names are to differ")
    return tuple(groups)


def with_words(group: Group, folder: Path | None = None) -> Group:
    """Return ``group`` with the words of its lists in place of the files' names.

    folder: where relative files lie; the current one where it is None. Raises UsageError for a file
    that cannot be read or has no word.
    """
    found: list[Condition] = []
    for each in group.conditions:
        inner = each.condition if isinstance(each, Not) else each
        if isinstance(inner, WordList):
            inner = _read(Path(inner.file) if folder is None else folder / inner.file)
        found.append(Not(inner) if isinstance(each, Not) else inner)
    return replace(group, conditions=tuple(found))


def _read(path: Path) -> Word:
    try:
        lines = read_input(path, MOST_BYTES).decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"list of words {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"list of words {path} is not UTF-8: save it as UTF-8") from error
    words = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not words:
        raise UsageError(f"list of words {path} has no word: expected a word a line")
    return Word(words)
