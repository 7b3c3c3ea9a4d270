"""Sentences in memory: a list, a DataFrame, a dataset of Hugging Face.

pandas, polars and datasets are known by what they offer, and never imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from actlas.pipeline.inputs.lines import BadLine, Line, Wanted, object_line
from actlas.pipeline.inputs.sentences import GIVEN, Columns, Sentences, collected
from actlas.store.errors import UsageError, quoted, unknown
from actlas.store.labels.labels import Labels

PROBED = 200  # texts of which ids are compared
EXPECTED = "expected a list of texts or of mappings, a DataFrame, a Dataset, or a path"


def given_sentences(
    texts: Any,
    *,
    text_column: str = "text",
    skip_bad: bool = False,
    rename: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Sentences:
    """Return the sentences of ``texts``, which are in memory.

    texts: any iterable of str, or of mappings with the text in ``text_column``; a pandas or polars
    DataFrame, a ``datasets.Dataset``. Other columns become labels; those of a file in JSON have the
    same dtypes. Raises UsageError for what is none of these and for a column that is not there,
    InputError, naming the item, for one that cannot be used.
    """
    chosen = Columns(text_column, tuple(rename), tuple(drop))
    wanted = Wanted(text_column, chosen.drop)
    names = _columns(texts)
    wanted.found.update(names or ())
    if names is not None and text_column not in names:
        where = "text_column names the one with the text"
        raise UsageError(f"{GIVEN}: {unknown('column', text_column, names)} ({where})")
    return collected(GIVEN, _lines(_items(texts, names), wanted), chosen, wanted, skip_bad=skip_bad)


def check_ids(tokenizer: Any, labels: Labels) -> None:
    """Raise UsageError where a tokenizer in memory gives other ids than what it has saved.

    labels: of the tokens that the saved one gave, with the special tokens that it adds by itself.
    The first PROBED texts are compared.
    """
    texts = [str(text) for text in labels.text[:PROBED]]
    ends = np.cumsum(labels.row_size[: len(texts)])
    saved = np.split(labels.token["token_id"][: ends[-1]], ends[:-1])
    for text, ids, expected in zip(texts, tokenizer(texts)["input_ids"], saved, strict=True):
        if list(ids) != expected.tolist():
            raise UsageError(
                f"the tokenizer given has other ids for {quoted(text)} than once it is saved: save "
                "it, and load it with AutoTokenizer.from_pretrained"
            )


def _columns(texts: Any) -> list[str] | None:
    """Return the names of the columns of a table; None for what is no table."""
    if isinstance(texts, Mapping):
        splits = ", ".join(map(str, list(texts)[:5]))
        raise UsageError(f"texts is a {type(texts).__name__} of {splits}: give one of them")
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise UsageError(f"texts is a {type(texts).__name__}, {EXPECTED}")
    for attribute in ("column_names", "columns"):
        names = getattr(texts, attribute, None)
        if names is not None and not callable(names):
            found = [str(name) for name in names]
            if twice := [name for name in found if found.count(name) > 1]:
                raise UsageError(f"{GIVEN}: two columns are called {quoted(twice[0])}: rename one")
            return found
    return None


def _items(texts: Any, names: list[str] | None) -> Iterator[Any]:
    """Yield the rows of a table as mappings, or the items of what is none."""
    if hasattr(texts, "iter_rows"):  # polars
        yield from texts.iter_rows(named=True)
    elif hasattr(texts, "itertuples") and names is not None:  # pandas
        missing = texts.isna().to_numpy()
        for row, values in enumerate(texts.itertuples(index=False, name=None)):
            gaps = missing[row]
            yield {
                name: None if gap else value
                for name, value, gap in zip(names, values, gaps, strict=True)
            }
    else:
        yield from texts


def _lines(items: Iterable[Any], wanted: Wanted) -> Iterator[Line | BadLine]:
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            yield Line(number, str(item), {})
        elif isinstance(item, Mapping):
            record = {str(name): _plain(value) for name, value in item.items()}
            yield object_line(number, record, wanted)
        else:
            yield BadLine(number, f"is a {type(item).__name__}, expected a text or a mapping")


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy as Python has it, and NaN as a missing value."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    return None if isinstance(value, float) and value != value else value
