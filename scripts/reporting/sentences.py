"""The sentences of a study of a word, cut so that the page can mark target and control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actlas.scripts.reporting.results import Result, naming_result
from actlas.store.runs.run import Run

MOST = 500  # sentences on a page


@dataclass(frozen=True)
class Marked:
    """A sentence by its number, in pieces: what it is (target, control or nothing) and the text."""

    number: int
    pieces: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class WordInSentences:
    """Where a word was found."""

    word: str
    run: str
    sentences: tuple[Marked, ...]
    more: int  # sentences that are not shown
    left_out: tuple[tuple[int, str, str], ...]  # number, text, reason


def words_in_sentences(results: tuple[Result, ...], runs: dict[str, Run]) -> list[WordInSentences]:
    """Return each choice of tokens that the results were made with, once.

    Results whose run is not among ``runs`` are left out.
    """
    found: dict[tuple[object, ...], WordInSentences] = {}
    for result in results:
        with naming_result(result):
            run = runs.get(result.runs[0])
            if result.word is None or run is None:
                continue
            key = (
                run.id,
                result.word,
                tuple(result.data["pair_target"].values),
                tuple(result.data["pair_control"].values),
            )
            if key not in found:
                found[key] = _marked(result, run)
    return list(found.values())


def _marked(result: Result, run: Run) -> WordInSentences:
    labels, kept = run.labels, _kept(result, run)
    spans: dict[int, list[tuple[int, int, str]]] = {}
    for kind in ("target", "control"):
        for place in result.data[f"pair_{kind}"].values:
            token = place if kept is None else kept[place]
            sentence = int(labels.token["sentence"][token])
            span = (
                int(labels.token["char_start"][token]),
                int(labels.token["char_end"][token]),
                kind,
            )
            spans.setdefault(sentence, []).append(span)
    shown = sorted(spans)[:MOST]
    sentences = tuple(
        Marked(number, tuple(pieces(labels.text[number], spans[number]))) for number in shown
    )
    listed = result.options.get("left_out", [])[:MOST]
    left_out = tuple(
        (int(number), labels.text[int(number)], str(reason)) for number, reason in listed
    )
    return WordInSentences(
        result.word or "", run.name, sentences, len(spans) - len(shown), left_out
    )


def _kept(result: Result, run: Run) -> npt.NDArray[np.int64] | None:
    """Return the tokens of ``run`` that the result's are counted along, None where all are."""
    for digest in result.options.get("kept", {}):
        index = run.index.view(digest)
        if digest in index.selections.known:
            return np.flatnonzero(np.concatenate([index.mask(unit) for unit in run.units]))
    return None


def pieces(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[str, str]]:
    """Cut ``text`` at ``spans`` (start, end, kind), leading spaces of a token outside.

    Joined, the pieces are the text.
    """
    found, end = [], 0
    for start, stop, kind in sorted(set(spans)):
        start += len(text[start:stop]) - len(text[start:stop].lstrip())
        if start < end:  # the same token twice: a control of one pair and the target of another
            continue
        found += [("", text[end:start]), (kind, text[start:stop])]
        end = stop
    return [piece for piece in (*found, ("", text[end:])) if piece[1]]
