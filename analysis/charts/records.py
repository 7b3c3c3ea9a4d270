"""The rows of a chart: arrays over named dims, as Vega-Lite takes them and as a page keeps them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

DIGITS = 5  # of a number: more than a screen shows
LONGEST = 60  # characters of a name from the data
MARK = "�"  # in place of what has no letter
Value = float | int | str | None


class Records(list[dict[str, Any]]):
    """Rows, one for each combination of the coordinates; those without any number are left out.

    ``packed`` holds the same without repetition: ``dims``, name → coordinates, and ``values``,
    name → [dims that it depends on, flat list in their order].
    """

    def __init__(
        self,
        arrays: Mapping[str, xr.DataArray],
        *,
        labels: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Take arrays, which share dims; a dim without coordinates is counted from 0.

        labels: of a dim, what stands in place of its coordinates.
        """
        dims: dict[str, list[Value]] = {}
        for array in arrays.values():
            for dim in map(str, array.dims):
                if dim not in dims:
                    dims[dim] = _coordinates(array, dim, (labels or {}).get(dim, {}))
        values: dict[str, tuple[list[str], list[Value]]] = {}
        for name, array in arrays.items():
            values[name] = list(map(str, array.dims)), _flat(array)
        self.packed = {"dims": dims, "values": values}
        super().__init__(_rows(dims, values))


def plain(text: object, longest: int = LONGEST) -> str:
    """Return text from the data on one line, a mark for each control character, cut with ``…``."""
    letters = []
    for letter in str(text)[: longest + 1]:
        hidden = unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Zl", "Zp")
        letters.append(MARK if hidden else letter)
    return "".join(letters) if len(letters) <= longest else "".join(letters[: longest - 1]) + "…"


def number(value: float) -> float | int | None:
    """Return a number of DIGITS digits, whole where it is; None where it is not finite."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _coordinates(array: xr.DataArray, dim: str, labels: Mapping[str, str]) -> list[Value]:
    if dim not in array.coords:
        return list(range(array.sizes[dim]))
    values = array[dim].values
    if values.dtype.kind in "iu":
        return [int(value) for value in values]
    if values.dtype.kind == "f":
        return [number(float(value)) for value in values]
    return [labels.get(str(value), plain(value)) for value in values]


def _flat(array: xr.DataArray) -> list[Value]:
    flat = np.asarray(array.values).ravel()
    if flat.dtype.kind in "fiub":
        return [number(float(value)) for value in flat]
    return [plain(value) for value in flat]


def _rows(
    dims: Mapping[str, Sequence[Value]], values: Mapping[str, tuple[list[str], list[Value]]]
) -> list[dict[str, Any]]:
    sizes = {name: len(each) for name, each in dims.items()}
    axes = {name: ([name], list(each)) for name, each in dims.items()}
    columns = []
    for order, flat in (*axes.values(), *values.values()):
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
        known = array.reshape([sizes[dim] for dim in order])
        # (own dims …) in the order of all, with one place along the others
        ordered = known.transpose([order.index(dim) for dim in sizes if dim in order])
        shape = [sizes[dim] if dim in order else 1 for dim in sizes]
        columns.append(np.broadcast_to(ordered.reshape(shape), tuple(sizes.values())).ravel())
    names, first = [*dims, *values], len(dims)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        dict(zip(names, row, strict=True))
        for row in rows
        if any(value is not None for value in row[first:])
    ]
