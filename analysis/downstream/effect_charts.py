"""Studies 3 to 5: charts of effects, by dose and by group of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.doses import Numbered, doses
from actlas.analysis.data.group_looks import INK, Look, group_looks
from actlas.analysis.downstream.charts import DEPTH, NAMES, variant_labels

CHANGE = "change of loss (nats per token)"
ALL = "all tokens"
WIDE = 20.0  # largest over smallest dose from which on their axis is logarithmic
COUNTED = ("layer", "depth", "head", "variant")  # doses that are whole numbers
MOST_ROWS = 12  # variants that are named beside their dots
SPREAD = 0.45  # of the distance of two variants, over which dots of groups lie side by side
Arrays = dict[str, xr.DataArray]


def dose_chart(result: xr.Dataset) -> charts.Chart:
    """Change of the loss and distance at the last depth against the number that varies.

    A line for each group of tokens, or for each number of a second kind, such as the layer.
    """
    last, counted = result.isel(depth=-1), np.arange(result.sizes["variant"], dtype=float)
    found_doses = doses([str(text) for text in result["edits"].values])
    dose, second = found_doses or (Numbered("variant", counted), None)
    measures = {"relative_delta": f"{NAMES['relative_delta']} at depth {int(last['depth'])}"}
    if "nll_change" in result:
        measures = {"nll_change": CHANGE} | measures
    if second is None:
        found, series, labels = _by_group(last, list(measures))
    else:
        found, series = _by_number(last, list(measures), second)
        labels = {}
    found |= {"dose": xr.DataArray(dose.numbers, dims="variant")}
    names = {"variant": variant_labels(result), "group": labels}
    records = charts.Records(_bare(found), labels=names)
    views = [_dose_panel(records, series, name, dose, measures[name]) for name in measures]
    return charts.chart(
        f"Effect of the edit against its {dose.name}",
        records,
        charts.beside(views, columns=2),
        series=series,
    )


def group_chart(result: xr.Dataset) -> charts.Chart:
    """Distance to the run without edits over depths, a line a group, one variant at a time."""
    name, labels = "group_relative_delta", variant_labels(result)
    found, series = _grouped(result, name)
    hover = charts.tips(
        *(("group", "tokens"), ("variant", "edits"), ("#depth", "depth")),
        *((f"#{name}", NAMES["relative_delta"]), *charts.ends(found)),
    )
    records = _records(result, found)
    shown = charts.Lines(
        *("depth", name, series, DEPTH, NAMES["relative_delta"], hover),
        band=charts.interval(found),
        where="datum.variant === edit",
        **charts.scale_of([row[name] for row in records]),
    )
    return charts.chart(
        "Distance to the run without edits, by depth and group of tokens",
        records,
        {"height": 280, **charts.lines(shown)},
        params=[charts.choice("edit", list(labels.values()), "edit")],
        series=series,
    )


def loss_chart(result: xr.Dataset) -> charts.Chart:
    """Change of the loss of each group of tokens, a row a variant; many variants are counted."""
    name, labels = "group_nll_change", variant_labels(result)
    found, series = _grouped(result, name)
    shift = (np.arange(len(series.names)) - (len(series.names) - 1) / 2) / len(series.names)
    places = xr.DataArray(np.arange(len(labels)), dims="variant") + xr.DataArray(
        SPREAD * shift, {"group": found[name]["group"]}, "group"
    )
    found["place"] = places.where(_bare(found)[name].notnull())  # a place alone does not make a row
    records = _records(result, found)
    hover = charts.tips(
        *(("group", "tokens"), ("variant", "edits"), (f"#{name}", CHANGE)), *charts.ends(found)
    )
    scale = charts.scale_of([row[name] for row in records])
    bounds, rows = charts.interval(found), list(labels.values())
    if len(rows) <= MOST_ROWS:
        shown = charts.Dots(name, "variant", CHANGE, len(rows), rows, hover, series, bounds, scale)
        view = charts.dots(shown)
    else:
        counted = "variant, in the order of the table, counted from 0"
        points = charts.Lines("place", name, series, counted, CHANGE, hover, bounds, dots=True)
        view = {"height": 280, **charts.lines(replace(points, **scale))}
    return charts.chart(
        "Change of the loss of each variant, by group of tokens", records, view, series=series
    )


def _grouped(result: xr.Dataset, name: str) -> tuple[Arrays, charts.Series]:
    """Return a number with its intervals for the groups that have it, and these as series."""
    named = result[name].dropna("group", how="all")["group"].values
    found = charts.bounded(result.sel(group=named), name)
    return found, charts.group_series(result, [str(group) for group in named])


def _by_group(last: xr.Dataset, names: Sequence[str]) -> tuple[Arrays, charts.Series, Any]:
    """Return numbers of all tokens and of each group, with intervals, and who is shown."""
    groups, labels, looks = [""], {"": ALL}, {"": Look(INK)}
    if "group_relative_delta" in last:
        named = last["group_relative_delta"].dropna("group", how="all")["group"].values
        groups += [str(group) for group in named]
        labels |= charts.group_labels(last)
        looks |= group_looks(last["group"].values)
    found: Arrays = {}
    for name in names:
        own = _ends_of(charts.bounded(last, name), name)
        parts = {each: [array.expand_dims(group=[""])] for each, array in own.items()}
        if f"group_{name}" in last:
            of_groups = charts.bounded(last, f"group_{name}")
            of_groups[name] = of_groups.pop(f"group_{name}")
            for each, array in _ends_of(of_groups, name).items():
                parts.setdefault(each, []).append(array)
        for each, arrays in parts.items():
            found[each] = xr.concat(arrays, "group", join="outer").reindex(group=groups)
    shown = tuple(labels[group] for group in groups)
    series = charts.Series("group", shown, "tokens", looks=tuple(looks[each] for each in groups))
    return found, series, labels


def _by_number(
    last: xr.Dataset, names: Sequence[str], second: Numbered
) -> tuple[Arrays, charts.Series]:
    """Return numbers of all tokens, and the second number as series."""
    lines = [f"{second.name} {number:g}" for number in second.numbers]
    found = {name: last[name] for name in names}
    found |= {"line": xr.DataArray(lines, dims="variant")}
    found |= {"number": xr.DataArray(second.numbers, dims="variant")}
    order = np.argsort(second.numbers, kind="stable")
    shown = tuple(dict.fromkeys(lines[place] for place in order))
    return found, charts.Series("line", shown, second.name, number="number")


def _ends_of(found: Arrays, name: str) -> Arrays:
    """Return numbers whose intervals are named after them, as there are several."""
    return {each if each == name else f"{name}_{each}": array for each, array in found.items()}


def _dose_panel(
    records: charts.Records, series: charts.Series, name: str, dose: Numbered, title: str
) -> charts.Chart:
    low, high = f"{name}_low", f"{name}_high"
    bounded, numbers = low in records[0], dose.numbers
    hover = charts.tips(
        *((series.field, series.title), ("variant", "edits"), (f"#{name}", title)),
        *(((f"#{low}", "95 % from"), (f"#{high}", "to")) if bounded else ()),
    )
    wide = numbers.min() > 0 and numbers.max() >= WIDE * numbers.min()
    counted = dose.name in COUNTED
    shown = charts.Lines(
        *("dose", name, series, dose.name, title, hover),
        interval=(low, high) if bounded else None,
        x_scale="" if counted else "log" if wide else "linear",
        **charts.scale_of([row[name] for row in records]),
    )
    return {"height": 260, **charts.lines(shown)}


def _records(result: xr.Dataset, found: Arrays) -> charts.Records:
    labels = {"variant": variant_labels(result), "group": charts.group_labels(result)}
    return charts.Records(_bare(found), labels=labels)


def _bare(found: Arrays) -> Arrays:
    """Return arrays without the labels that are no places of theirs."""
    return {name: array.reset_coords(drop=True) for name, array in found.items()}
