"""Target and control tokens, found offline from the stored texts and offsets; every study selects through here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    A match without a possible control is left out of both groups, so that they stay pairs. Position 0 is never a control.
    Raises TargetError if the word occurs nowhere (nearest words named) or fewer than two pairs are found.
    Source: study 1, target and non-target tokens.
    """
    texts = [str(text) for text in labels["text"].values]
    starts = np.searchsorted(labels["sentence"].values, np.arange(len(texts) + 1))
    spans = np.stack([labels["char_start"].values, labels["char_end"].values], axis=1)  # (token, 2)
    words = [
        [_covered(spans[starts[sentence] : starts[sentence + 1]], *match) for match in _matches(text, target)]
        for sentence, text in enumerate(texts)
    ]
    generator = np.random.default_rng(target.seed)
    pairs, left_out = [], []
    for sentence, found in enumerate(words):
        chosen = {"first": found[:1], "last": found[-1:], "all": found}[target.occurrence]
        controls = [_control(sentence, word, target, words, starts, generator) for word in chosen]
        pairs += [
            (sentence, starts[sentence] + w[0], starts[sentence] + w[-1], c)
            for w, c in zip(chosen, controls, strict=True)
            if c is not None
        ]
        if not chosen or None in controls:
            left_out.append(LeftOut(sentence, "without a possible control" if chosen else "without the word"))
    _check(len(pairs), left_out, texts, target)
    sentences, first, last, control = np.array(pairs, dtype=np.int64).T
    return Selection(target, first, last, control, sentences, tuple(left_out))


def _matches(text: str, target: Target) -> list[tuple[int, int]]:
    """Return the character spans of the whole word."""
    pattern = re.compile(rf"(?<!\w){re.escape(target.word)}(?!\w)", 0 if target.case else re.IGNORECASE)
    return [match.span() for match in pattern.finditer(text)]


def _covered(spans: npt.NDArray[np.int32], start: int, end: int) -> Indices:
    """Return the positions of the tokens that share characters with start … end; a token may begin with the space before."""
    return np.flatnonzero((spans[:, 0] < end) & (spans[:, 1] > start))


def _control(
    sentence: int,
    word: Indices,
    target: Target,
    words: Sequence[Sequence[Indices]],
    starts: Indices,
    generator: np.random.Generator,
) -> int | None:
    """Return the index along the run of the control of ``word``, or None where there is none."""
    if target.control == "previous":
        possible = np.array([word[0] - 1]) if word[0] - 1 > FIRST_POSITION else np.array([], dtype=np.int64)
    elif target.control == "random":
        possible = np.setdiff1d(np.arange(FIRST_POSITION + 1, word[0]), np.concatenate([*words[sentence]]))
    else:
        position = int(word[0] if target.pool == "first" else word[-1])
        others = [s for s, size in enumerate(np.diff(starts)) if size > position > FIRST_POSITION and s != sentence]
        possible = np.array([s for s in others if not any(position in other for other in words[s])], dtype=np.int64)
        return int(starts[generator.choice(possible)] + position) if len(possible) else None
    return int(starts[sentence] + generator.choice(possible)) if len(possible) else None


def _check(pairs: int, left_out: list[LeftOut], texts: list[str], target: Target) -> None:
    if pairs >= FEWEST:
        return
    impossible = sum(item.reason == "without a possible control" for item in left_out)
    if not pairs and not impossible:
        near = difflib.get_close_matches(target.word, sorted(set(_words(texts))), n=3, cutoff=0.5)
        hint = f": near to it are {', '.join(near)}" if near else ""
        raise TargetError(f"the word {target.word!r} occurs in none of the {len(texts)} sentences{hint}")
    raise TargetError(
        f"{pairs} pairs of {target.word!r} and a control in {len(texts)} sentences ({impossible} without "
        f"a possible control: position {FIRST_POSITION} is never one), wanted {FEWEST} at least"
    )


def _words(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"\w+", text)


def _mean_of_runs(values: npt.NDArray[Any], *, starts: Indices, sizes: Indices) -> npt.NDArray[np.float64]:
    """Return the means of consecutive runs along the last axis."""
    return np.add.reduceat(values, starts, axis=-1) / sizes
