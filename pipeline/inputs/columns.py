"""Columns of a sentence file as arrays: one dtype each, by one rule for every format.

A column of whole numbers is int64, of numbers float64, of booleans uint8 (1 and 0), anything else
text. A missing value is NaN in a column of numbers or booleans, which is float64 then, and the
empty text in a column of text. CSV has text alone: there, numbers and booleans are recognised where
all values of a column are written as such; among numbers, NaN and NA are missing too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.lines import Scalar, Value

INT64 = 2**63
EXACT_FLOAT = 2**53  # up to here float64 has every whole number
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")  # longer ones, and "007", are codes
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})([.][0-9]+)?([eE][+-]?[0-9]+)?")
BOOLEANS = {
    "True": True,
    "true": True,
    "TRUE": True,
    "False": False,
    "false": False,
    "FALSE": False,
}
NAN = frozenset({"nan", "NaN", "NAN", "NA"})


def array_of(values: Sequence[Value], *, written: bool) -> npt.NDArray[Any]:
    """Return one column as int64, float64, uint8, or an object array of texts, (sentence,).

    written: the values are text, of which numbers and booleans are to be recognised (CSV).
    """
    found: Sequence[Value] = _recognised(values) if written else values
    present = [value for value in found if value is not None]
    gaps = len(present) < len(found)
    kinds = {type(value) for value in present}
    if kinds == {bool} and not gaps:
        return np.array(found, dtype=np.uint8)
    if kinds == {bool} or (
        kinds and kinds <= {int, float} and _is_exact(present, gaps or float in kinds)
    ):
        if kinds == {int} and not gaps:
            return np.array(found, dtype=np.int64)
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
    # objects: characters of a fixed number would take the longest text's room for each
    texts = np.empty(len(values), dtype=object)
    texts[:] = ["" if value is None else str(value) for value in values]
    return texts


def _is_exact(values: Iterable[Scalar], as_float: bool) -> bool:
    """Whether whole numbers keep every digit; else the column stays text, which does."""
    most = EXACT_FLOAT if as_float else INT64 - 1
    return all(abs(value) <= most for value in values if isinstance(value, int))


def _recognised(values: Sequence[Value]) -> Sequence[Value]:
    """Return a column of CSV as numbers or booleans.

    It stays text unless all values that are there are written so.
    """
    texts = [None if value is None else str(value) for value in values]
    present = [text for text in texts if text is not None]
    if present and all(text in BOOLEANS for text in present):
        return [None if text is None else BOOLEANS[text] for text in texts]
    numbers = [text for text in present if text not in NAN]
    if not numbers or not all(NUMBER.fullmatch(text) for text in numbers):
        return values
    if all(INTEGER.fullmatch(text) for text in present):
        return [None if text is None else int(text) for text in texts]
    if any(INTEGER.fullmatch(text) and abs(int(text)) > EXACT_FLOAT for text in present):
        return values
    floats = [None if text is None or text in NAN else float(text) for text in texts]
    return values if any(value is not None and math.isinf(value) for value in floats) else floats
