"""The sentences of a run, cut so that the page can mark groups of tokens and their loss."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from actlas.scripts.reporting.results import Result, naming_result
from actlas.store.errors import ActlasError
from actlas.store.format.parts import WHOLE
from actlas.store.runs.run import Run

MOST = 500  # sentences on a page
MOST_UNMARKED = 100  # of a run that is shown for its loss alone
MOST_GROUPS = 6  # that are marked: as many as there are colours
PAIRED = ("target", "control")
#: nats from which on a token has the next shade; 0.69 is one chance in two
LEVELS = (0.69, 2.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Part:
    """A part of a sentence. group: place among the names; loss: place among the shades."""

    text: str
    group: int | None = None
    loss: int | None = None


@dataclass(frozen=True)
class Marked:
    """A sentence by its number, in pieces."""

    number: int
    pieces: tuple[Part, ...]


@dataclass(frozen=True)
class MarkedSentences:
    """Where groups of tokens were found.

    names: of the groups that are marked. unmarked: of the others. losses: what each shade means;
    empty where no loss is stored. more: sentences that are not shown. left_out: number, text and
    reason of sentences without a pair.
    """

    title: str
    names: tuple[str, ...]
    sentences: tuple[Marked, ...]
    unmarked: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    more: int = 0
    left_out: tuple[tuple[int, str, str], ...] = ()
    note: str = ""  # why the loss is not shown, though it is stored


@dataclass(frozen=True)
class _Groups:
    """The groups of a result: their names, and the group of each token."""

    names: tuple[str, ...]
    tokens: Mapping[int, int] = field(default_factory=dict)


def marked_sentences(results: Sequence[Result], runs: Mapping[str, Run]) -> list[MarkedSentences]:
    """Return the sentences of each choice of groups that the results were made with, once.

    Of a run with a stored loss and no groups, the first sentences with their loss. Results whose
    run is not among ``runs``, by id, are left out.
    """
    found: dict[tuple[object, ...], MarkedSentences] = {}
    plain: dict[str, MarkedSentences] = {}
    for result in results:
        with naming_result(result):
            run = runs.get(result.runs[0])
            if run is None:
                continue
            groups = _of_run(_groups(result), _kept(result, run))
            key = (run.id, groups.names, tuple(sorted(groups.tokens.items())))
            if groups.names and key not in found:
                found[key] = _marked(result, run, groups)
            elif not groups.names and run.id not in plain and "nll" in run.sites:
                plain[run.id] = _plain(run)
    marked = {key[0] for key in found}
    return [*found.values(), *(each for run, each in plain.items() if run not in marked)]


def _groups(result: Result) -> _Groups:
    """Return the groups that the user named: target and control, and those with members."""
    data, tokens = result.data, dict[int, int]()
    names = list(PAIRED) if "pair_target" in data else []
    for place, name in enumerate(names):
        for token in data[f"pair_{name}"].values:
            tokens.setdefault(int(token), place)
    if "member_token" in data:
        places = data["member_group"].values
        every = [str(name) for name in data["group"].values]
        for number in np.unique(places):
            names.append(every[int(number)])
            for token in data["member_token"].values[places == number]:
                tokens.setdefault(int(token), len(names) - 1)
    return _Groups(tuple(names), tokens)


def _kept(result: Result, run: Run) -> npt.NDArray[np.int64] | None:
    """Return the tokens of ``run`` that the result's are counted along, None where all are."""
    for digest in result.options.get("kept", {}):
        index = run.index.view(digest)
        if digest in index.selections.known:
            return np.flatnonzero(np.concatenate([index.mask(unit) for unit in run.units]))
    return None


def _of_run(groups: _Groups, kept: npt.NDArray[np.int64] | None) -> _Groups:
    if kept is None:
        return groups
    tokens = {int(kept[place]): group for place, group in groups.tokens.items()}
    return _Groups(groups.names, tokens)


def _marked(result: Result, run: Run, groups: _Groups) -> MarkedSentences:
    numbers = run.labels.token["sentence"]
    wanted = sorted({int(numbers[token]) for token in groups.tokens})
    what = f"“{result.word}”" if result.word else ", ".join(groups.names)
    listed = result.options.get("left_out", [])[:MOST]
    left_out = [(int(number), run.labels.text[int(number)], str(why)) for number, why in listed]
    losses, note = _losses(run)
    return MarkedSentences(
        f"{what} in {run.name}",
        groups.names[:MOST_GROUPS],
        _cut(run, wanted[:MOST], groups, losses),
        groups.names[MOST_GROUPS:],
        _shades() if losses is not None else (),
        len(wanted) - len(wanted[:MOST]),
        tuple(left_out),
        note,
    )


def _plain(run: Run) -> MarkedSentences:
    """Return the first sentences of a run, for their loss."""
    losses, note = _losses(run)
    count = len(run.labels.text)
    shown = range(min(count, MOST_UNMARKED)) if losses is not None else range(0)
    return MarkedSentences(
        f"Loss of each token in {run.name}",
        (),
        _cut(run, shown, _Groups(()), losses),
        losses=_shades(),
        more=count - len(shown),
        note=note,
    )


def _losses(run: Run) -> tuple[np.ndarray | None, str]:
    """Return the stored loss (token,), or None and why it is not shown."""
    if "nll" not in run.sites:
        return None, ""
    try:
        losses = run.dataset(("nll",))["nll"].values.astype(np.float64)
        index = run.index.of(("nll",))
        if index.kept == WHOLE:
            return losses, ""
        whole = np.full(run.tokens, np.nan)
        whole[np.concatenate([index.mask(unit) for unit in run.units])] = losses
        return whole, ""
    except ActlasError as error:
        return None, f"The loss is not shown: {error}"


def _shades() -> tuple[str, ...]:
    bounds = [f"{level:g}" for level in LEVELS]
    between = (f"{low}–{high}" for low, high in pairwise(bounds))
    return (f"below {bounds[0]}", *between, f"{bounds[-1]} and more")


def _cut(
    run: Run, sentences: Sequence[int], groups: _Groups, losses: np.ndarray | None
) -> tuple[Marked, ...]:
    labels, found = run.labels, []
    number = labels.token["sentence"]
    for sentence in sentences:
        spans = []
        for token in np.flatnonzero(number == sentence).tolist():
            group = groups.tokens.get(token)
            group = group if group is not None and group < MOST_GROUPS else None
            level = None
            if losses is not None and not np.isnan(losses[token]):
                level = bisect_right(LEVELS, float(losses[token]))
            if group is not None or level is not None:
                start, end = (int(labels.token[f"char_{edge}"][token]) for edge in ("start", "end"))
                spans.append((start, end, Part("", group, level)))
        found.append(Marked(sentence, tuple(pieces(labels.text[sentence], spans))))
    return tuple(found)


def pieces(text: str, spans: Sequence[tuple[int, int, Part]]) -> list[Part]:
    """Cut ``text`` at ``spans`` (start, end, what it is), leading spaces of a token outside.

    Joined, the pieces are the text. Of spans that overlap, the first counts.
    """
    found, end = [], 0
    for start, stop, kind in sorted(spans, key=lambda span: span[:2]):
        start += len(text[start:stop]) - len(text[start:stop].lstrip())
        if start < end or start >= stop:  # shares characters with the one before, or has none
            continue
        found += [Part(text[end:start]), Part(text[start:stop], kind.group, kind.loss)]
        end = stop
    return [piece for piece in (*found, Part(text[end:])) if piece.text]
