"""Target and control tokens, found offline from the stored texts and offsets.

Every study selects through here.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.analysis.data.apart import later_tokens
from actlas.analysis.data.pooling import Pool, have_rows, taken, unlabelled
from actlas.analysis.data.sentences import Indices
from actlas.analysis.data.words import TargetError, Words, find_words, nowhere
from actlas.store.errors import UsageError

Occurrence = Literal["first", "last", "all"]
Control = Literal["previous", "random", "matched"]
CONTROL_NAMES = {
    "previous": "the token before it",
    "random": "a random earlier token",
    "matched": "a token at its position in another sentence",
}

ABSENT, IMPOSSIBLE = "without the word", "without a possible control"
UNKEPT = "without activations of the word"
CLIPPED = "without the tokens of the word"
FEWEST = 2  # tokens a variance can be taken over


@dataclass(frozen=True)
class Target:
    """Which word to look at, and what to compare it with."""

    word: str
    case: bool = False  # whether upper and lower case differ
    occurrence: Occurrence = "first"  # of several in one sentence
    pool: Pool = "last"  # which token stands for a word of several, or the mean of all
    control: Control = "previous"
    seed: int = 0  # of the random and matched controls

    def __post_init__(self) -> None:
        """Raise UsageError for an empty word or an unknown choice."""
        if not self.word.strip():
            raise UsageError("the target word is empty: give --target WORD")
        for value, valid in (
            (self.occurrence, get_args(Occurrence)),
            (self.pool, get_args(Pool)),
            (self.control, get_args(Control)),
        ):
            if value not in valid:
                raise UsageError(f"unknown choice {value!r}: expected {', '.join(valid)}")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}, expected 0 or more")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sentence without a pair, or with fewer than it has words, and why."""

    sentence: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """Pairs of a target word and its control.

    They are indices along ``token`` of the run, equally long and in order.
    """

    target: Target
    first_token: Indices  # of the word
    last_token: Indices
    control_token: Indices
    sentence: Indices  # number of the target's in ``sentence``
    left_out: tuple[LeftOut, ...]

    @property
    def target_token(self) -> Indices:
        """The token that stands for the word; its last where the mean of all does."""
        return self.first_token if self.target.pool == "first" else self.last_token

    @property
    def groups(self) -> dict[str, Indices]:
        """Token indices of ``target`` and ``control``."""
        return {"target": self.target_token, "control": self.control_token}

    @property
    def clusters(self) -> dict[str, Indices]:
        """Sentence of each token of ``target`` and ``control``: a control belongs to its word."""
        return {"target": self.sentence, "control": self.sentence}

    def placed(self, places: Indices) -> Selection:
        """Return them along a view; places: of each token there."""
        first, last = places[self.first_token], places[self.last_token]
        if self.target.pool != "mean":  # of others there may be no rows
            first = last = places[self.target_token]
        control = places[self.control_token]
        return replace(self, first_token=first, last_token=last, control_token=control)

    def record(self) -> dict[str, list[list[object]]]:
        """Return, for a result's record, the sentences that were left out, each with the reason."""
        return {"left_out": [[item.sentence, item.reason] for item in self.left_out]}

    def take(self, activations: xr.DataArray, group: str) -> xr.DataArray:
        """Return the rows of a group along ``token``, a pair each, other token labels dropped.

        Lazy stays lazy.

        With ``pool="mean"`` a target row is the mean over the word's tokens, in float64.
        """
        if group == "control" or self.target.pool != "mean":
            return taken(activations, self.groups[group])
        return taken(activations, self.first_token, self.last_token)

    def rows(self, activations: xr.DataArray, group: str) -> tuple[xr.DataArray, Indices]:
        """Return an array, and which of its rows along ``token`` are those of a group."""
        if group == "control" or self.target.pool != "mean":
            return unlabelled(activations), self.groups[group]
        return self.take(activations, group), np.arange(len(self.first_token))

    def coordinates(self) -> xr.Dataset:
        """Return the pairs as a Dataset on ``pair``, to be saved with a result."""
        names = {
            "sentence": self.sentence,
            "target": self.target_token,
            "control": self.control_token,
        }
        result = xr.Dataset({f"pair_{name}": ("pair", values) for name, values in names.items()})
        result["pair_sentence"].attrs["long_name"] = "sentence of the target"
        for name in ("target", "control"):
            result[f"pair_{name}"].attrs["long_name"] = f"index of the {name} along the run's token"
        return result

    def summary(self) -> str:
        """Return one line: what was matched, what was left out and why."""
        line = (
            f"{len(self.sentence)} pairs of {self.target.word!r} and "
            f"{CONTROL_NAMES[self.target.control]}"
        )
        reasons = sorted({item.reason for item in self.left_out})
        parts = [
            f"{sum(item.reason == reason for item in self.left_out)} {reason}" for reason in reasons
        ]
        return (
            f"{line}; sentences left out: {', '.join(parts)}"
            if parts
            else f"{line}; no sentence left out"
        )


def select_tokens(
    labels: xr.Dataset, target: Target, stored: npt.NDArray[np.bool_] | None = None
) -> Selection:
    """Find the tokens of a word and a control for each.

    labels: Dataset with ``sentence``, ``position``, ``char_start``, ``char_end`` and ``text`` on
    ``token``. Some tokens of a sentence may be left out, as in an export: a word without all of its
    tokens is then none. A match without a possible control is left out of both groups, so that they
    stay pairs. Position 0 and special tokens are never a control (``later_tokens``). stored: which
    tokens have activations, all where None: others are neither target nor control. Raises
    TargetError if the word occurs nowhere (nearest words named) or fewer than two pairs are found.
    Source: study 1, target and non-target tokens.
    """
    words = find_words(labels, target.word, target.case)
    later = later_tokens(labels) if stored is None else later_tokens(labels) & stored
    controls = _Controls(target, words, labels["position"].values, later)
    pairs, left_out = array("q"), []
    for sentence, number in enumerate(words.numbers):
        found = words.found.get(sentence, [])
        wanted = {"first": found[:1], "last": found[-1:], "all": found}[target.occurrence]
        chosen = [word for word in wanted if _has_rows(word, target, stored)]
        drawn = [controls.draw(sentence, word) for word in chosen]
        for word, one in zip(chosen, drawn, strict=True):
            if one is not None:
                pairs.extend((number, word[0], word[-1], one))
        if len(chosen) < len(wanted):
            left_out.append(LeftOut(int(number), UNKEPT))
        elif not chosen or None in drawn:
            reason = IMPOSSIBLE if chosen else CLIPPED if sentence in words.clipped else ABSENT
            left_out.append(LeftOut(int(number), reason))
    if not pairs and words.nowhere:
        raise nowhere(labels, target.word)
    _check(len(pairs) // 4, left_out, len(words.numbers), target, whole=stored is None)
    sentences, first, last, control = np.array(pairs, dtype=np.int64).reshape(-1, 4).T
    return Selection(target, first, last, control, sentences, tuple(left_out))


def _has_rows(word: Indices, target: Target, stored: npt.NDArray[np.bool_] | None) -> bool:
    ends = word[:1], word[-1:]
    return stored is None or bool(have_rows(stored, *ends, target.pool).all())


@dataclass(frozen=True)
class _Controls:
    """Draws the controls of the words of a run, sentence by sentence."""

    target: Target
    words: Words
    position: npt.NDArray[np.int32]
    later: npt.NDArray[np.bool_]

    @cached_property
    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self.target.seed)

    @cached_property
    def _at(self) -> dict[int, Indices]:
        """Position → tokens at it that can be a control and are part of no match, in order.

        Filled as they are asked for.
        """
        return {}

    @cached_property
    def _plain(self) -> npt.NDArray[np.bool_]:
        """Which tokens are part of no match."""
        # matches may share tokens: each opens a run and closes it behind its last
        depth = np.zeros(len(self.position) + 1, dtype=np.int32)
        np.add.at(depth, self.words.found.first, 1)
        np.subtract.at(depth, self.words.found.last + 1, 1)
        plain: npt.NDArray[np.bool_] = np.cumsum(depth[:-1], dtype=np.int32) == 0
        return plain

    def draw(self, sentence: int, word: Indices) -> int | None:
        """Return the control of ``word``, along the run, or None where there is none."""
        possible = (
            self._matched(sentence, word)
            if self.target.control == "matched"
            else self._earlier(sentence, word)
        )
        return int(self._generator.choice(possible)) if len(possible) else None

    def _earlier(self, sentence: int, word: Indices) -> Indices:
        first, end = self.words.starts[sentence : sentence + 2]
        here, start = self.position[first:end], self.position[word[0]]
        near = here == start - 1 if self.target.control == "previous" else here < start
        earlier: Indices = first + np.flatnonzero(near & self.later[first:end])
        return earlier[self._plain[earlier]] if self.target.control == "random" else earlier

    def _matched(self, sentence: int, word: Indices) -> Indices:
        """Return the tokens of other sentences at the word's position."""
        position = int(self.position[word[0] if self.target.pool == "first" else word[-1]])
        if position not in self._at:
            here = (self.position == position) & self.later
            self._at[position] = np.flatnonzero(here & self._plain)
        at, (first, end) = self._at[position], self.words.starts[sentence : sentence + 2]
        return np.concatenate([at[: np.searchsorted(at, first)], at[np.searchsorted(at, end) :]])


def _check(
    pairs: int, left_out: Sequence[LeftOut], sentences: int, target: Target, *, whole: bool
) -> None:
    if pairs >= FEWEST:
        return
    found = f"{pairs} {'pair' if pairs == 1 else 'pairs'}"
    impossible = sum(item.reason == IMPOSSIBLE for item in left_out)
    unkept = sum(item.reason == UNKEPT for item in left_out)
    if unkept:
        raise TargetError(
            f"{found} of {target.word!r} and a control in {sentences} sentences: of {unkept} the "
            "word's activations are not kept: `actlas extract … --tokens` adds them"
        )
    clipped = sum(item.reason == CLIPPED for item in left_out)
    if clipped:
        raise TargetError(
            f"{found} of {target.word!r} and a control in {sentences} sentences: {clipped} have "
            f"the word in their text "
            "and not among their tokens, as in an export for another word: use the whole run"
        )
    never = "first and special tokens are never one"
    if not whole:
        never += ", nor are those whose activations are not kept: `actlas extract … --tokens` adds "
        never += "them"
    raise TargetError(
        f"{found} of {target.word!r} and a control in {sentences} sentences ({impossible} without "
        f"a possible control: {never}), expected at least {FEWEST}"
    )
