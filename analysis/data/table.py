"""A run as a table: a row a token or a row a word, with labels, surprisal and norms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from actlas.analysis.data.sentences import sentences_of, texts_of
from actlas.analysis.data.words import Word, all_words
from actlas.analysis.groups.evaluation import columns_of
from actlas.analysis.kernels.streaming import Floats, by_token
from actlas.store.errors import UsageError

NLL, RESID = "nll", "resid"


def token_table(dataset: xr.Dataset, *, norms: bool = False) -> pd.DataFrame:
    """Return a row for each token: its labels, its characters, ``nll`` and norms.

    dataset: a view of a run; sites other than ``nll`` and, with ``norms``, ``resid`` are not read.
    ``nll`` is in nats, NaN for a first token, and missing where the view has none. ``norm.3`` is
    the Euclidean norm of the residual stream at depth 3, float64. ``token`` has the token's own
    characters, ``text`` its sentence. Raises UsageError for norms without ``resid``.
    """
    labels = labels_of(dataset)
    texts = labels.pop("text")
    ends = zip(labels["char_start"], labels["char_end"], texts, strict=True)
    own = np.array([text[start:end] for start, end, text in ends], dtype=object)
    first = {name: labels.pop(name) for name in ("sentence", "position")}
    columns = {**first, "token": own, **labels, **numbers_of(dataset, norms=norms)}
    return pd.DataFrame({**columns, "text": texts})


def word_table(dataset: xr.Dataset, *, norms: bool = False) -> pd.DataFrame:
    """Return a row for each word: its characters and tokens, labels of its sentence, surprisal.

    ``surprisal`` is the sum of ``nll`` over the word's tokens, NaN where one is the first of its
    sentence. ``shared`` says that a token of it has characters of another word too, and counts for
    both. Norms are those of the word's last token. Words are those of ``all_words``: what has not
    all of its tokens, as in an export, is left out.
    """
    words = list(all_words(dataset))
    labels, numbers = labels_of(dataset), numbers_of(dataset, norms=norms)
    sentences = sentences_of(dataset)
    texts = list(texts_of(dataset, sentences))
    first = np.array([word.tokens[0] for word in words], dtype=np.int64)
    last = np.array([word.tokens[-1] for word in words], dtype=np.int64)
    of_sentence = np.array([word.sentence for word in words], dtype=np.int64)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "sentence": sentences.numbers[of_sentence],
        "word": _counted(of_sentence),
        "characters": _objects([texts[word.sentence][word.start : word.end] for word in words]),
        "char_start": np.array([word.start for word in words], dtype=np.int64),
        "char_end": np.array([word.end for word in words], dtype=np.int64),
        "position": labels["position"][first],
        "tokens": last - first + 1,
        "shared": _shared(words),
    }
    columns |= {
        name: values[first] for name, values in labels.items() if name in columns_of(dataset)
    }
    nll = numbers.pop(NLL, None)
    if nll is not None:
        sums = [nll[word.tokens].sum() for word in words]
        columns["surprisal"] = np.array(sums, dtype=np.float64)
    columns |= {name: values[last] for name, values in numbers.items()}
    return pd.DataFrame({**columns, "text": _objects([texts[word.sentence] for word in words])})


def labels_of(dataset: xr.Dataset) -> dict[str, npt.NDArray[np.generic]]:
    """Return the labels on ``token`` by name."""
    return {
        str(name): label.values
        for name, label in dataset.coords.items()
        if label.dims == ("token",)
    }


def numbers_of(dataset: xr.Dataset, *, norms: bool) -> dict[str, Floats]:
    """Return ``nll`` and, with ``norms``, those of the residual stream at each depth, (token,)."""
    found: dict[str, Floats] = {}
    if NLL in dataset:
        found[NLL] = dataset[NLL].values.astype(np.float64)
    if norms:
        if RESID not in dataset:
            raise UsageError("--norms needs the site resid, which is not stored")
        resid = dataset[RESID]
        sizes = by_token(_norm, 1, resid.drop_vars(labels_of(dataset))).isel(quantity=0).values
        for depth, values in zip(resid["depth"].values.tolist(), sizes, strict=True):
            found[f"norm.{depth}"] = values
    return found


def _norm(rows: Floats) -> Floats:
    norms: Floats = np.sqrt(np.vecdot(rows, rows))
    return norms[np.newaxis]


def _counted(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each among those equal to it that follow one another: 0, 1, …."""
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    sizes = np.diff(np.append(begins, len(numbers)))
    return np.arange(len(numbers)) - np.repeat(begins, sizes)


def _shared(words: list[Word]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(words), dtype=bool)
    for place in range(1, len(words)):
        if words[place].tokens[0] <= words[place - 1].tokens[-1]:
            found[place - 1 : place + 1] = True
    return found


def _objects(texts: list[str]) -> npt.NDArray[np.object_]:
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found
