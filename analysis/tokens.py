"""Target and control tokens, found offline from the stored texts and offsets; every study selects through here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.store.errors import ActlasError, UsageError

Occurrence = Literal["first", "last", "all"]
Control = Literal["previous", "random"]

FIRST_POSITION = 0  # never a control: the first token of a sequence carries activations an order of magnitude larger
FEWEST = 2  # tokens a variance can be taken over


class TargetError(ActlasError, ValueError):
    """The word cannot be studied in these sentences; the message is one line."""


@dataclass(frozen=True)
class Target:
    """Which word to look at, and what to compare it with."""

    word: str
    case: bool = False  # whether upper and lower case differ
    occurrence: Occurrence = "first"  # of several in one sentence
    control: Control = "previous"  # the token just before the word, or a random earlier one
    seed: int = 0  # of the random control

    def __post_init__(self) -> None:
        """Raise UsageError for an empty word or an unknown choice."""
        if not self.word.strip():
            raise UsageError("the target word is empty: give --target WORD")
        for value, valid in ((self.occurrence, get_args(Occurrence)), (self.control, get_args(Control))):
            if value not in valid:
                raise UsageError(f"unknown choice {value!r}: wanted {', '.join(valid)}")


@dataclass(frozen=True)
class LeftOut:
    """A sentence without a pair, and why."""

    sentence: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """Pairs of a target token and its control: indices along ``token`` of the run, equally long, in order."""

    target: Target
    target_token: npt.NDArray[np.int64]
    control_token: npt.NDArray[np.int64]
    sentence: npt.NDArray[np.int64]
    left_out: tuple[LeftOut, ...]

    @property
    def groups(self) -> dict[str, npt.NDArray[np.int64]]:
        """Token indices of ``target`` and ``control``."""
        return {"target": self.target_token, "control": self.control_token}

    def coordinates(self) -> xr.Dataset:
        """Return the pairs as a Dataset on ``pair``, to be saved with a result."""
        return xr.Dataset(
            {
                "pair_sentence": ("pair", self.sentence, {"long_name": "sentence of the pair"}),
                "target_token": ("pair", self.target_token, {"long_name": "index of the target along the run's token"}),
                "control_token": (
                    "pair",
                    self.control_token,
                    {"long_name": "index of the control along the run's token"},
                ),
            }
        )

    def summary(self) -> str:
        """Return one line: what was matched, what was left out and why."""
        line = f"{len(self.target_token)} pairs of {self.target.word!r} and {CONTROL_NAMES[self.target.control]}"
        reasons = {item.reason for item in self.left_out}
        parts = [f"{sum(item.reason == reason for item in self.left_out)} {reason}" for reason in sorted(reasons)]
        return f"{line}; sentences left out: {', '.join(parts)}" if parts else f"{line}; no sentence left out"


CONTROL_NAMES = {"previous": "the token before it", "random": "a random earlier token"}


def select_tokens(labels: xr.Dataset, target: Target) -> Selection:
    """Find the tokens of a word and a control for each; a word of several tokens is represented by its last.

    labels: Dataset with ``sentence``, ``position``, ``char_start``, ``char_end`` on ``token`` and ``text`` on ``sentence``.
    A match without a possible control is left out of both groups, so that they stay pairs. Position 0 is never a control.
    Raises TargetError if the word occurs nowhere (nearest words named) or fewer than two pairs are found.
    Source: study 1, target and non-target tokens.
    """
    texts = [str(text) for text in labels["text"].values]
    starts = np.searchsorted(labels["sentence"].values, np.arange(len(texts) + 1))
    spans = np.stack([labels["char_start"].values, labels["char_end"].values], axis=1)  # (token, 2)
    generator = np.random.default_rng(target.seed)
    pairs: list[tuple[int, int, int]] = []
    left_out: list[LeftOut] = []
    for sentence, text in enumerate(texts):
        first = int(starts[sentence])
        words = [_covered(spans[first : starts[sentence + 1]], *match) for match in _matches(text, target)]
        if not words:
            left_out.append(LeftOut(sentence, "without the word"))
            continue
        controls = [_control(word, target, words, generator) for word in words]
        found = [(sentence, first + int(word[-1]), first + c) for word, c in zip(words, controls, strict=True) if c is not None]
        if len(found) < len(words):
            left_out.append(LeftOut(sentence, "without a possible control"))
        pairs += found
    _check(pairs, left_out, texts, target)
    sentences, targets, controls_ = np.array(pairs, dtype=np.int64).T
    return Selection(target, targets, controls_, sentences, tuple(left_out))


def _matches(text: str, target: Target) -> list[tuple[int, int]]:
    """Return the character spans of the wanted occurrences of the whole word."""
    pattern = re.compile(rf"(?<!\w){re.escape(target.word)}(?!\w)", 0 if target.case else re.IGNORECASE)
    spans = [match.span() for match in pattern.finditer(text)]
    chosen = {"first": spans[:1], "last": spans[-1:], "all": spans}
    return chosen[target.occurrence]


def _covered(spans: npt.NDArray[np.int32], start: int, end: int) -> npt.NDArray[np.intp]:
    """Return the positions of the tokens that share characters with start … end; a token may begin with the space before."""
    return np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))


def _control(
    word: npt.NDArray[np.intp], target: Target, words: list[npt.NDArray[np.intp]], generator: np.random.Generator
) -> int | None:
    """Return the position of the control of ``word``, or None where there is none."""
    before = int(word[0]) - 1
    if target.control == "previous":
        return before if before > FIRST_POSITION else None
    possible = np.setdiff1d(np.arange(FIRST_POSITION + 1, before + 1), np.concatenate(words))
    return int(generator.choice(possible)) if len(possible) else None


def _check(pairs: list[tuple[int, int, int]], left_out: list[LeftOut], texts: list[str], target: Target) -> None:
    if len(pairs) >= FEWEST:
        return
    impossible = sum(item.reason == "without a possible control" for item in left_out)
    if not pairs and not impossible:
        near = difflib.get_close_matches(target.word, sorted(set(_words(texts))), n=3, cutoff=0.5)
        hint = f": near to it are {', '.join(near)}" if near else ""
        raise TargetError(f"the word {target.word!r} occurs in none of the {len(texts)} sentences{hint}")
    raise TargetError(
        f"{len(pairs)} pairs of {target.word!r} and a control in {len(texts)} sentences ({impossible} without "
        f"a possible control: position {FIRST_POSITION} is never one), wanted {FEWEST} at least"
    )


def _words(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"\w+", text)
