"""Words in a text by the rules of Unicode: where they begin and end (UAX #29), and which are equal.

A word is equal to another if their canonical decompositions are, in one case folded: "café" in one
code point for "é" and in two, "STRASSE" and "straße". It is whole if it begins and ends at a word
boundary. So "her" is not in "there", "can" not in "can't", "John" not in "John's", and "3" not in
"3.14"; "क" is not in "कि". Punctuation marks are words of their own. Scripts without spaces have a
boundary around every character (Chinese, Hiragana) or cluster of them (Thai): there a word is found
wherever its characters are. Nothing is found inside a grapheme cluster.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from functools import lru_cache
from typing import NamedTuple

import regex

#: rules WB3 to WB16 of UAX #29: two characters are joined where one matches; `i` is what WB4
#: ignores
_JOIN = r"""(?:(?<=\r)(?=\n)|(?<![\r\n\p{WB=Newline}])(?:
    (?=[{ignored}])
  | (?<=\p{WB=ZWJ})(?=\p{ExtPict})
  | (?<=\p{WB=WSegSpace})(?=\p{WB=WSegSpace})
  | (?<=[{letter}{digit}]{i})(?=[{letter}{digit}])
  | (?<=[{letter}]{i})(?=[{middle}\p{WB=MidLetter}]{i}[{letter}])
  | (?<=[{letter}]{i}[{middle}\p{WB=MidLetter}]{i})(?=[{letter}])
  | (?<={hebrew}{i})(?=\p{WB=Single_Quote}|\p{WB=Double_Quote}{i}{hebrew})
  | (?<={hebrew}{i}\p{WB=Double_Quote}{i})(?={hebrew})
  | (?<={digit}{i})(?=[{middle}\p{WB=MidNum}]{i}{digit})
  | (?<={digit}{i}[{middle}\p{WB=MidNum}]{i})(?={digit})
  | (?<={kana}{i})(?={kana})
  | (?<=[{letter}{digit}{kana}{underscore}]{i})(?={underscore})
  | (?<={underscore}{i})(?=[{letter}{digit}{kana}])
  | (?={flag})(?<=(?<!{flag}{i})(?:{flag}{i}{flag}{i})*+{flag}{i})
))"""
_CLASSES = {
    "ignored": r"\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}",
    "i": r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*",
    "letter": r"\p{WB=ALetter}\p{WB=Hebrew_Letter}",
    "hebrew": r"\p{WB=Hebrew_Letter}",
    "digit": r"\p{WB=Numeric}",
    "kana": r"\p{WB=Katakana}",
    "underscore": r"\p{WB=ExtendNumLet}",
    "middle": r"\p{WB=MidNumLet}\p{WB=Single_Quote}",
    "flag": r"\p{WB=Regional_Indicator}",
}
for _name, _class in _CLASSES.items():
    _JOIN = _JOIN.replace(f"{{{_name}}}", _class)
_JOINED = regex.compile(_JOIN, regex.VERBOSE)
_SEGMENT = regex.compile(rf".(?:{_JOIN}.)*", regex.VERBOSE | regex.DOTALL)
_FORMAT = regex.compile(r"\p{WB=Format}")
_BEHIND = regex.compile(r"\p{WB=Format}*")
#: flags first, by pairs: \X counts back over all flags before each, which takes for ever in a row
#: of them
_CLUSTER = regex.compile(r"\p{RI}\p{RI}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*|\X")
_FLAGS = regex.compile(r"\p{RI}+")
#: what is not ASCII, with the character on either side: outside, a character of the text is one of
#: the key
_ZONE = re.compile(r"[\0-\x7f]?[^\0-\x7f]+(?:[\0-\x7f][^\0-\x7f]+)*[\0-\x7f]?")


def words_of(text: str) -> list[str]:
    """Return the words of ``text``, composed (NFC), without spaces and punctuation."""
    segments = _SEGMENT.findall(_FLAGS.sub(" ", unicodedata.normalize("NFC", text)))
    return [segment for segment in segments if any(map(str.isalnum, segment))]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of the words of ``text``, without spaces and punctuation, in order."""
    plain = _FLAGS.sub(lambda flags: " " * len(flags[0]), text)
    segments = (segment.span() for segment in _SEGMENT.finditer(plain))
    return [span for span in segments if any(map(str.isalnum, text[slice(*span)]))]


class WordPattern:
    """A word to be found; ``case`` says whether upper and lower case differ."""

    def __init__(self, word: str, case: bool = False) -> None:
        self._key, self._case = key_of(word, case), case

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return start and end of the word wherever ``text`` has it whole.

        The spans are in order and do not overlap.
        """
        key = key_of(text, self._case)
        at = key.find(self._key)
        if at < 0:
            return []  # so far all is done by C: most texts end here
        places = None if text.isascii() else _Places(text, self._case)
        found = []
        while at >= 0:
            end = at + len(self._key)
            span = (at, end) if places is None else (places.start_of(at), places.start_of(end))
            whole = begins(text, span[0]) and ends(text, span[1])
            if whole:
                found.append(span)
            at = key.find(self._key, end if whole else at + 1)
        return found


def key_of(text: str, case: bool) -> str:
    """Return what is equal for equal texts.

    Canonical (caseless) matching, Unicode D144 and D145.
    """
    if text.isascii():
        return text if case else text.lower()
    decomposed = unicodedata.normalize("NFD", text)
    return decomposed if case else unicodedata.normalize("NFD", decomposed.casefold())


def begins(text: str, place: int) -> bool:
    """Whether a word begins at ``place``, be there marks of direction and the like before it.

    Never at -1.
    """
    return place >= 0 and (_is_boundary(text, place) or _is_boundary(text, _before(text, place)))


def ends(text: str, place: int) -> bool:
    """Whether a word ends at ``place``: the rules count marks of direction behind it in.

    Never at -1.
    """
    return place >= 0 and _is_boundary(text, _BEHIND.match(text, place).end())


def _is_boundary(text: str, place: int) -> bool:
    """Whether there is a boundary by the default rules of UAX #29."""
    if place in (0, len(text)):
        return True
    around = text[place - 1 : place + 1]
    if around.isascii():  # most places, decided as the rules would
        if around.isalnum():
            return False
        if (around[0] == " ") != (around[1] == " "):
            return True
    return _JOINED.match(text, place) is None


def _before(text: str, place: int) -> int:
    """Return where those marks begin that end at ``place``."""
    while place > 0 and not text[place - 1].isascii() and _FORMAT.match(text, place - 1):
        place -= 1
    return place


class _Zone(NamedTuple):
    """Part of a text that is not ASCII, in the text's key."""

    first: int
    last: int
    behind: int  # to be added to a place in the key behind it, for that in the text
    starts: dict[int, int]  # of clusters: place in the key → in the text


class _Places:
    """Where the key of a text came from: grapheme clusters are decomposed and folded one by one."""

    def __init__(self, text: str, case: bool) -> None:
        self._zones = [_Zone(0, 0, 0, {0: 0})]
        for zone in _ZONE.finditer(text):
            place, end = zone.span()
            at = first = place - self._zones[-1].behind
            starts = {}
            for cluster in _CLUSTER.findall(zone.group()):
                starts[at] = place
                place += len(cluster)
                at += _length(cluster, case)
            starts[at] = end
            self._zones.append(_Zone(first, at, end - at, starts))

    def start_of(self, at: int) -> int:
        """Return the place in the text of a place in its key, -1 inside a cluster."""
        zone = self._zones[bisect(self._zones, at, key=lambda zone: zone.first) - 1]
        return at + zone.behind if at > zone.last else zone.starts.get(at, -1)


@lru_cache(1 << 14)
def _length(cluster: str, case: bool) -> int:
    return len(key_of(cluster, case))
