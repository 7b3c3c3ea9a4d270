"""Which results of several folders are of the same study, and by which numbers they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from actlas.analysis.declaring import Study, Table, cell
from actlas.analysis.declaring.phrases import interval, number
from actlas.scripts.reporting.results import Folder, Result, option_text
from actlas.store.errors import UsageError

MOST_ROWS = 400  # of a table of numbers
#: recorded beside the options and said elsewhere, or no choice of the user
NOT_COMPARED = ("left_out", "selection", "variants", "group_notes", "readout")


@dataclass(frozen=True)
class Matched:
    """Results of one study, one of each folder; None where a folder has none."""

    name: str
    results: tuple[Result | None, ...]

    @property
    def present(self) -> list[Result]:
        """Those that there are."""
        return [result for result in self.results if result is not None]


def match_results(folders: Sequence[Folder], labels: Sequence[str]) -> list[Matched]:
    """Return what is compared, in the order of the first folder that has it.

    Results belong together if they are of the same study and have the same name; of those that are
    left, the first of each folder, then the second, and so on. Raises UsageError where no two
    folders share a study.
    """
    found: list[Matched] = []
    stages = dict.fromkeys(result.stage for folder in folders for result in folder.results)
    for stage in stages:
        left = [[each for each in folder.results if each.stage == stage] for folder in folders]
        if sum(map(bool, left)) < 2:
            continue
        for name in dict.fromkeys(result.name for results in left for result in results):
            named = [next((r for r in results if r.name == name), None) for results in left]
            if sum(result is not None for result in named) > 1:
                found.append(Matched(name, tuple(named)))
                left = [[r for r in results if r.name != name] for results in left]
        for place in range(max(map(len, left))):
            row = [results[place] if place < len(results) else None for results in left]
            if sum(result is not None for result in row) > 1:
                found.append(Matched(stage, tuple(row)))
    if not found:
        held = "; ".join(
            f"{label} has {', '.join(sorted({r.stage for r in folder.results}))}"
            for label, folder in zip(labels, folders, strict=True)
        )
        raise UsageError(f"no study is in two of the folders: {held}")
    return found


def unmatched(folders: Sequence[Folder], labels: Sequence[str], found: list[Matched]) -> list[str]:
    """Name the results that have no counterpart, a line for each folder that has some."""
    compared = {id(result) for each in found for result in each.present}
    lines = []
    for label, folder in zip(labels, folders, strict=True):
        alone = [result.name for result in folder.results if id(result) not in compared]
        if alone:
            lines.append(f"Only in {label}: {', '.join(alone)}.")
    return lines


def option_table(matched: Matched, labels: Sequence[str]) -> Table | None:
    """Return the options that differ, a row each; None where none does."""
    known = [result.options if result else {} for result in matched.results]
    names = dict.fromkeys(name for options in known for name in options)
    rows = []
    for name in names:
        values = [options.get(name) for options in known]
        there = [v for v, r in zip(values, matched.results, strict=True) if r is not None]
        if name not in NOT_COMPARED and any(value != there[0] for value in there):
            texts = (cell(option_text(value)) for value in values)
            rows.append((cell(name), *texts))
    return Table.of("Options that differ", ("option", *labels), rows) if rows else None


@dataclass(frozen=True)
class Numbers:
    """The numbers of matched results that can be held against each other.

    differences: a sentence for each variable, the largest difference. foremost: that of the
    variable that the study prints first. notes: what could not be compared, and why.
    """

    tables: tuple[Table, ...] = ()
    differences: tuple[str, ...] = ()
    foremost: str = ""
    notes: tuple[str, ...] = ()


def compare_numbers(matched: Matched, labels: Sequence[str]) -> Numbers:
    """Hold the headline numbers of the study against each other, label by label.

    Those are the variables that the study's ``--json`` prints. They are compared where all results
    have the same dims with the same labels, and otherwise said to be not, and why.
    """
    present = matched.present
    study = present[0].study
    named = [label for label, r in zip(labels, matched.results, strict=True) if r is not None]
    if study is None:
        return Numbers(notes=(f"study {present[0].stage} is not installed here",))
    tables: list[Table] = []
    said: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    for name in study.numbers:
        arrays = [_array(result.data, name) for result in present]
        there = [array for array in arrays if array is not None]
        if name.endswith("_interval") or not there:
            continue
        why = _incomparable(arrays, named)
        if why:
            notes.setdefault(why, []).append(name)
            continue
        said |= _difference(name, there, present, named)
        if there[0].size <= MOST_ROWS:
            tables.append(_table(name, there, named))
        else:
            notes.setdefault(f"more than {MOST_ROWS} numbers, listed nowhere", []).append(name)
    lines = tuple(f"{', '.join(names)}: {why}" for why, names in notes.items())
    return Numbers(
        tuple(tables), tuple(said.values()), said.get(_first(study, present)) or "", lines
    )


def _first(study: Study[Any], results: Sequence[Result]) -> str:
    """Return the name of the first variable of floats that the study prints."""
    there = (name for name in study.numbers if _array(results[0].data, name) is not None)
    return next(there, "")


def _array(data: xr.Dataset, name: str) -> xr.DataArray | None:
    """Return a variable of floats, its variants labelled by their edits; None for any other."""
    if name not in data.data_vars or data[name].dtype.kind != "f":
        return None
    array = data[name]
    if "variant" in array.dims and "edits" in data:
        array = array.assign_coords(variant=data["edits"].values)
    return array


def _incomparable(arrays: Sequence[xr.DataArray | None], labels: Sequence[str]) -> str:
    """Return why numbers cannot be held against each other, empty where they can."""
    for array, label in zip(arrays, labels, strict=True):
        if array is None:
            return f"not in {label}"
    first, *others = [array for array in arrays if array is not None]
    for other, label in zip(others, labels[1:], strict=True):
        if set(first.dims) != set(other.dims):
            dims = [" × ".join(map(str, each.dims)) or "one number" for each in (first, other)]
            return f"of {dims[0]} in {labels[0]}, of {dims[1]} in {label}"
        for dim in first.dims:
            here, there = _labels(first, dim), _labels(other, dim)
            if len(here) != len(there):
                return f"{len(here)} along {dim} in {labels[0]}, {len(there)} in {label}"
            if here != there:
                return f"other labels along {dim} in {label} than in {labels[0]}"
    return ""


def _labels(array: xr.DataArray, dim: Any) -> list[Any]:
    found: list[Any] = array[dim].values.tolist()
    return found


def _places(array: xr.DataArray) -> list[dict[Any, int]]:
    """Return where each number stands, by dim."""
    return [
        dict(zip(array.dims, map(int, place), strict=True)) for place in np.ndindex(array.shape)
    ]


def _where(array: xr.DataArray, place: dict[Any, int]) -> str:
    return ", ".join(f"{dim} {_labels(array, dim)[at]}" for dim, at in place.items())


def _table(name: str, arrays: Sequence[xr.DataArray], labels: Sequence[str]) -> Table:
    rows, first = [], arrays[0]
    for place in _places(first):
        values = [float(array.isel(place)) for array in arrays]
        spread = values[1] - values[0] if len(values) == 2 else max(values) - min(values)
        names = (cell(str(_labels(first, dim)[at])) for dim, at in place.items())
        rows.append((*names, *map(cell, values), cell(spread, "+.3g")))
    last = f"{labels[1]} − {labels[0]}" if len(arrays) == 2 else "largest − smallest"
    caption = first.attrs.get("long_name", "")
    title = f"{name}: {caption}" if caption else name
    return Table.of(title, (*map(str, first.dims), *labels, last), rows)


def _difference(
    name: str, arrays: Sequence[xr.DataArray], results: Sequence[Result], labels: Sequence[str]
) -> dict[str, str]:
    """Say where the numbers of the first two differ most, with intervals, if there are any."""
    one, other = (array.transpose(*arrays[0].dims) for array in arrays[:2])
    apart = np.abs(other.values - one.values)
    if not np.isfinite(apart).any():
        return {}
    if not np.nanmax(apart) > 0:
        return {name: f"{name} is the same in {labels[0]} and {labels[1]}"}
    at = np.unravel_index(int(np.nanargmax(apart)), apart.shape)
    place = dict(zip(one.dims, map(int, at), strict=True))
    bounds = [result.data.get(f"{name}_interval") for result in results[:2]]
    chosen = [None if each is None else each.isel(place) for each in bounds]
    texts = []
    for array, bound, label in zip((one, other), chosen, labels[:2], strict=True):
        texts.append(f"{number(array.isel(place))}{interval(bound)} in {label}")
    where = _where(one, place)
    line = f"{name} differs most{' at ' if where else ''}{where}: {texts[0]}, {texts[1]}"
    return {name: line + _overlap(chosen)}


def _overlap(bounds: Sequence[xr.DataArray | None]) -> str:
    if any(each is None or bool(each.isnull().any()) for each in bounds):
        return ""
    (low, high), (lower, upper) = (
        [float(each.sel(bound=end)) for end in ("lower", "upper")]
        for each in bounds
        if each is not None
    )
    return (
        "; the intervals overlap"
        if low <= upper and lower <= high
        else "; the intervals do not overlap"
    )
