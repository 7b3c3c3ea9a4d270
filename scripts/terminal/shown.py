"""Tables, sentences and labelled arrays as text and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from actlas.analysis.declaring.shown import Table
from actlas.scripts.terminal.text import WIDTH, printable, table

if TYPE_CHECKING:
    import xarray as xr


def text_of(shown: Table) -> str:
    """Return a table with its caption, as a terminal shows it."""
    cells = [[text for text, _ in row] for row in shown.rows]
    lines = []
    for line in shown.caption.splitlines():
        lines += textwrap.wrap(line, WIDTH)
    return "\n".join([*lines, table(shown.header, cells)])


def paragraphs(sentences: Iterable[str]) -> str:
    """Return sentences, each from a new line on."""
    lines = []
    for sentence in sentences:
        lines += textwrap.wrap(
            printable(sentence), WIDTH, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def labelled(array: xr.DataArray) -> Any:
    """Return an array for JSON: an object along dims whose labels are text, lists along the others.

    NaN and infinities are None.
    """
    named = [dim for dim in array.dims if dim in array.coords and array[dim].dtype.kind in "OUT"]
    if not named:
        return _plain(array.values)
    (dim, *_) = named
    labels = map(str, array[dim].values)
    return {label: labelled(array.isel({dim: at})) for at, label in enumerate(labels)}


def _plain(values: Any) -> Any:
    if values.dtype.kind != "f":
        return values.tolist()
    import numpy as np

    found = values.astype(object)
    found[~np.isfinite(values)] = None
    return found.tolist()
