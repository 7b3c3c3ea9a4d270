"""Target and control tokens, found offline from the stored texts and offsets; every study selects through here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from actlas.store.errors import ActlasError, UsageError

Occurrence = Literal["first", "last", "all"]
Pool = Literal["last", "first", "mean"]
Control = Literal["previous", "random", "matched"]
CONTROL_NAMES = {
    "previous": "the token before it",
    "random": "a random earlier token",
    "matched": "a token at its position in another sentence",
}

FIRST_POSITION = 0  # never a control: the first token of a sequence carries activations an order of magnitude larger
CLIPPED = "without the tokens of the word"
FEWEST = 2  # tokens a variance can be taken over

Indices = npt.NDArray[np.int64]


class TargetError(ActlasError, ValueError):
    """The word cannot be studied in these sentences; the message is one line."""


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
                raise UsageError(f"unknown choice {value!r}: wanted {', '.join(valid)}")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}, wanted 0 or more")


@dataclass(frozen=True)
class LeftOut:
    """A sentence without a pair, or with fewer than it has words, and why."""

    sentence: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """Pairs of a target word and its control: indices along ``token`` of the run, equally long, in order."""

    target: Target
    first_token: Indices  # of the word
    last_token: Indices
    control_token: Indices
    sentence: Indices
    left_out: tuple[LeftOut, ...]

    @property
    def target_token(self) -> Indices:
        """The token that stands for the word; its last where the mean of all does."""
        return self.first_token if self.target.pool == "first" else self.last_token

    @property
    def groups(self) -> dict[str, Indices]:
        """Token indices of ``target`` and ``control``."""
        return {"target": self.target_token, "control": self.control_token}

    def take(self, activations: xr.DataArray, group: str) -> xr.DataArray:
        """Return the rows of a group along ``token``, a pair each, other token labels dropped; lazy stays lazy.

        With ``pool="mean"`` a target row is the mean over the word's tokens, in float64.
        """
        plain = activations.drop_vars([name for name, label in activations.coords.items() if "token" in label.dims])
        plain = plain.drop_vars([name for name in plain.coords if name != "layer"])
        if group == "control" or self.target.pool != "mean":
            return plain.isel(token=self.groups[group])
        sizes = self.last_token - self.first_token + 1
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        members = np.concatenate([np.arange(a, b + 1) for a, b in zip(self.first_token, self.last_token, strict=True)])
        words = plain.isel(token=members).astype("float64")
        pooled: xr.DataArray = xr.apply_ufunc(
            _mean_of_runs,
            words.chunk({"token": -1}) if words.chunks else words,
            kwargs={"starts": starts, "sizes": sizes},
            input_core_dims=[["token"]],
            output_core_dims=[["token"]],
            exclude_dims={"token"},
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": {"token": len(sizes)}},
        )
        return pooled.transpose(*activations.dims)

    def coordinates(self) -> xr.Dataset:
        """Return the pairs as a Dataset on ``pair``, to be saved with a result."""
        names = {"sentence": self.sentence, "target": self.target_token, "control": self.control_token}
        result = xr.Dataset({f"pair_{name}": ("pair", values) for name, values in names.items()})
        result["pair_sentence"].attrs["long_name"] = "sentence of the target"
        for name in ("target", "control"):
            result[f"pair_{name}"].attrs["long_name"] = f"index of the {name} along the run's token"
        return result

    def summary(self) -> str:
        """Return one line: what was matched, what was left out and why."""
        line = f"{len(self.sentence)} pairs of {self.target.word!r} and {CONTROL_NAMES[self.target.control]}"
        reasons = sorted({item.reason for item in self.left_out})
        parts = [f"{sum(item.reason == reason for item in self.left_out)} {reason}" for reason in reasons]
        return f"{line}; sentences left out: {', '.join(parts)}" if parts else f"{line}; no sentence left out"


def select_tokens(labels: xr.Dataset, target: Target) -> Selection:
    """Find the tokens of a word and a control for each.

    labels: Dataset with ``sentence``, ``position``, ``char_start``, ``char_end`` on ``token`` and ``text`` on ``sentence``.
    Some tokens of a sentence may be left out, as in an export: a word without all of its tokens is then none.
    A match without a possible control is left out of both groups, so that they stay pairs. Position 0 is never a control.
    Raises TargetError if the word occurs nowhere (nearest words named) or fewer than two pairs are found.
    Source: study 1, target and non-target tokens.
    """
    texts = [str(text) for text in labels["text"].values]
    starts = np.searchsorted(labels["sentence"].values, np.arange(len(texts) + 1))
    words, clipped = _words_in(labels, texts, starts, target)
    position = labels["position"].values
    positions = [position[a:b] for a, b in pairwise(starts)]
    generator = np.random.default_rng(target.seed)
    pairs, left_out = [], []
    for sentence, found in enumerate(words):
        chosen = {"first": found[:1], "last": found[-1:], "all": found}[target.occurrence]
        controls = [_control(sentence, word, target, words, positions, starts, generator) for word in chosen]
        pairs += [
            (sentence, starts[sentence] + w[0], starts[sentence] + w[-1], c)
            for w, c in zip(chosen, controls, strict=True)
            if c is not None
        ]
        if not chosen or None in controls:
            reason = "without a possible control" if chosen else CLIPPED if clipped[sentence] else "without the word"
            left_out.append(LeftOut(sentence, reason))
    _check(len(pairs), left_out, texts, target)
    sentences, first, last, control = np.array(pairs, dtype=np.int64).T
    return Selection(target, first, last, control, sentences, tuple(left_out))


def _matches(text: str, target: Target) -> list[tuple[int, int]]:
    """Return the character spans of the whole word."""
    pattern = re.compile(rf"(?<!\w){re.escape(target.word)}(?!\w)", 0 if target.case else re.IGNORECASE)
    return [match.span() for match in pattern.finditer(text)]


def _words_in(
    labels: xr.Dataset, texts: Sequence[str], starts: Indices, target: Target
) -> tuple[list[list[Indices]], list[bool]]:
    """Return per sentence the tokens of each match that has all of them, and whether there is one that has not."""
    spans = np.stack([labels["char_start"].values, labels["char_end"].values], axis=1)  # (token, 2)
    positions = labels["position"].values
    words, clipped = [], []
    for text, first, end in zip(texts, starts[:-1], starts[1:], strict=True):
        matches = _matches(text, target)
        found = [_covered(spans[first:end], positions[first:end], text, *match) for match in matches]
        words.append([tokens for tokens in found if tokens is not None])
        clipped.append(len(words[-1]) < len(matches))
    return words, clipped


def _covered(spans: npt.NDArray[np.int32], positions: npt.NDArray[np.int32], text: str, start: int, end: int) -> Indices | None:
    """Return the tokens that share characters with start … end, None where one is not there.

    A token may begin with the space before the word, or leave it out.
    """
    tokens = np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))
    if not len(tokens) or positions[tokens[-1]] - positions[tokens[0]] != len(tokens) - 1:
        return None
    before, after = text[start : spans[tokens[0], 0]], text[spans[tokens[-1], 1] : end]
    return None if before.strip() or after.strip() else tokens


def surroundings(labels: xr.Dataset, target: Target, context: int | None) -> Indices:
    """Return the tokens at most ``context`` away from any of a word, in their sentence, ascending; all of it where it is None.

    labels, and what is raised where the word occurs nowhere: as in ``select_tokens``.
    """
    texts = [str(text) for text in labels["text"].values]
    starts = np.searchsorted(labels["sentence"].values, np.arange(len(texts) + 1))
    words, _ = _words_in(labels, texts, starts, target)
    kept, positions = np.zeros(labels.sizes["token"], dtype=bool), labels["position"].values
    for found, first, end in zip(words, starts[:-1], starts[1:], strict=True):
        here = positions[first:end]
        for word in found:
            near = (here >= here[word[0]] - context) & (here <= here[word[-1]] + context) if context is not None else True
            kept[first:end] |= near
    if not kept.any():
        raise _nowhere(target, texts)
    return np.flatnonzero(kept)


def _control(
    sentence: int,
    word: Indices,
    target: Target,
    words: Sequence[Sequence[Indices]],
    positions: Sequence[npt.NDArray[np.int32]],
    starts: Indices,
    generator: np.random.Generator,
) -> int | None:
    """Return the index along the run of the control of ``word``, or None where there is none."""
    here = positions[sentence]
    earlier = np.flatnonzero((here < here[word[0]]) & (here > FIRST_POSITION))
    if target.control == "previous":
        possible = earlier[here[earlier] == here[word[0]] - 1]
    elif target.control == "random":
        possible = np.setdiff1d(earlier, np.concatenate([*words[sentence]]))
    else:
        position = here[word[0] if target.pool == "first" else word[-1]]
        found = {s: _at(others, position) for s, others in enumerate(positions) if position > FIRST_POSITION and s != sentence}
        matched = {s: at for s, at in found.items() if at is not None and not any(at in word for word in words[s])}
        chosen = int(generator.choice(list(matched))) if matched else None
        return None if chosen is None else int(starts[chosen]) + matched[chosen]
    return int(starts[sentence] + generator.choice(possible)) if len(possible) else None


def _at(positions: npt.NDArray[np.int32], position: int) -> int | None:
    """Return the index of a position, ascending as they are, None where it was left out."""
    index = int(np.searchsorted(positions, position))
    return index if index < len(positions) and positions[index] == position else None


def _check(pairs: int, left_out: list[LeftOut], texts: list[str], target: Target) -> None:
    if pairs >= FEWEST:
        return
    impossible = sum(item.reason == "without a possible control" for item in left_out)
    clipped = sum(item.reason == CLIPPED for item in left_out)
    if not pairs and not impossible and not clipped:
        raise _nowhere(target, texts)
    if clipped:
        raise TargetError(
            f"{pairs} pairs of {target.word!r} and a control in {len(texts)} sentences: {clipped} have the word in their text "
            "and not among their tokens, as in an export for another word: use the whole run"
        )
    raise TargetError(
        f"{pairs} pairs of {target.word!r} and a control in {len(texts)} sentences ({impossible} without "
        f"a possible control: position {FIRST_POSITION} is never one), wanted {FEWEST} at least"
    )


def _nowhere(target: Target, texts: list[str]) -> TargetError:
    near = difflib.get_close_matches(target.word, sorted(set(_words(texts))), n=3, cutoff=0.5)
    hint = f": near to it are {', '.join(near)}" if near else ""
    return TargetError(f"the word {target.word!r} occurs in none of the {len(texts)} sentences{hint}")


def _words(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"\w+", text)


def _mean_of_runs(values: npt.NDArray[Any], *, starts: Indices, sizes: Indices) -> npt.NDArray[np.float64]:
    """Return the means of consecutive runs along the last axis."""
    return np.add.reduceat(values, starts, axis=-1) / sizes
