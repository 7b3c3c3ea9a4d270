"""Studies 3 to 5: figures of effects, as dots with intervals: by layer, by dose, by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.data.doses import doses
from actlas.analysis.downstream.figures import LABELS, edits_label
from actlas.analysis.plots.marks import (
    WIDE,
    band,
    by_orders,
    dots,
    layer_axis,
    legend_in,
    line,
    log_axis,
    swatches,
    zero_line,
)
from actlas.analysis.plots.series import Series
from actlas.analysis.plots.sheet import LETTER, Room, Sheet
from actlas.analysis.plots.style import (
    GREY,
    INK,
    INTERVAL,
    MOST_GROUPS,
    Look,
    a_few,
    group_looks,
    house_style,
    shown,
)

PANELS, COLUMNS = 8, 4
MOST_ROWS = 12  # variants that are named beside their dots
SPREAD = 0.45  # of the distance of two layers, over which dots of groups lie side by side
ERROR = "± standard error over sentences"
CHANGE = "change of loss (nats per token)"
LONGEST_ROW = 44  # characters beside a dot


@house_style()
def redundant_layers(result: xr.Dataset) -> Figure:
    """Change of the loss per skipped layer, as dots with intervals, groups side by side.

    result: of ``actlas.analysis.downstream.compute.redundancy``.
    """
    width = min(9.0, max(5.0, 0.12 * result.sizes["layer"] + 0.3 * _groups(result).size))
    sheet = Sheet(1, 1, Room(width=width, height=2.5, panel_title=False))
    _redundancy(sheet.flat[0], result)
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *_intervals(result)])
    return sheet.done("Which layers are redundant? Loss when each is skipped")


def redundancy_panel(panel: Axes, result: xr.Dataset) -> None:
    """Draw what ``redundant_layers`` does into one panel."""
    _redundancy(panel, result)
    legend_in(panel, _intervals(result))


def _redundancy(panel: Axes, result: xr.Dataset) -> None:
    zero_line(panel)
    layers, groups = result["layer"].values.astype(float), _groups(result)
    rows: list[tuple[xr.DataArray, Any, Look, str]] = [
        (result["nll_change"], _errors(result), Look(INK), "all predicted tokens")
    ]
    looks = group_looks(result["group"].values) if groups.size else {}
    for group in map(str, groups):
        bounds = result.get("group_nll_change_interval")
        limits = None if bounds is None else bounds.sel(group=group).transpose("bound", "layer")
        change = result["group_nll_change"].sel(group=group)
        rows.append((change, limits, looks[group], shown(group)))
    for at, (change, limits, look, label) in enumerate(rows):
        places = layers + (at - (len(rows) - 1) / 2) * SPREAD / len(rows)
        dots(panel, places, change.values, look, limits, label)
    by_orders(panel.yaxis, np.concatenate([change.values for change, *_ in rows]))
    layer_axis(panel, "layer that is skipped")
    panel.set_ylabel(CHANGE)


def dose_of(result: xr.Dataset) -> tuple[Series, Series | None] | None:
    """Return the number that varies over the variants, and that of each line where two do.

    None where the edits differ in other ways, or in fewer than three numbers.
    """
    found = doses([str(text) for text in result["edits"].values])
    if found is None:
        return None
    dose, second = found
    other = None if second is None else Series(second.name, second.numbers)
    return Series(dose.name, dose.numbers), other


@house_style()
def dose_response(result: xr.Dataset) -> Figure:
    """The effect of edits against the number that varies, a line a layer where layers vary too.

    Change of the loss, where it is known, and distance at the last depth; by group of tokens, where
    there are any and one number varies alone.
    """
    dose, lines = dose_of(result) or (_order(result), None)
    has_loss = "nll_change" in result
    sheet = Sheet(1, 1 + has_loss, Room(width=3.2, height=2.4, across=0.8, panel_title=False))
    last = result.isel(depth=-1)
    if has_loss:
        _doses(sheet.flat[0], last, "nll_change", dose, lines)
        zero_line(sheet.flat[0])
        sheet.flat[0].set_ylabel(CHANGE)
    _doses(sheet.flat[-1], last, "relative_delta", dose, lines)
    sheet.flat[-1].set_ylabel(f"{LABELS['relative_delta']} at depth {int(last['depth'])}")
    if lines is not None:
        sheet.bar(lines.mappable, lines.name)
        sheet.ticks_of_bar = lines.ticks
    else:
        sheet.legend([*sheet.flat[-1].get_legend_handles_labels()[0], *_intervals(result)])
    return sheet.done(f"Effect of the edit against its {dose.name}")


def _doses(panel: Axes, last: xr.Dataset, name: str, dose: Series, lines: Series | None) -> None:
    order, values = np.argsort(dose.numbers, kind="stable"), last[name].values
    numbers, drawn = dose.numbers[order], [values]
    if lines is not None:
        colours = dict(zip(lines.numbers, lines.colours, strict=True))
        for number, colour in colours.items():
            own = order[lines.numbers[order] == number]
            line(panel, dose.numbers[own], values[own], Look(colour))
    else:
        line(panel, numbers, values[order], Look(INK), "all tokens")
        if name == "nll_change":
            dots(panel, numbers, values[order], Look(INK), _errors(last)[:, order])
        drawn += _group_doses(panel, last, f"group_{name}", numbers, order)
    by_orders(panel.yaxis, np.concatenate(drawn))
    panel.set_xlabel(dose.name)
    if dose.name == "factor" and numbers.min() < 1 < numbers.max():
        panel.axvline(1, color=GREY, linestyle=":", linewidth=0.8, zorder=0.5)
    if numbers.min() > 0 and numbers.max() >= WIDE * numbers.min() and dose.name != "layer":
        log_axis(panel.xaxis)


def _group_doses(
    panel: Axes, last: xr.Dataset, name: str, numbers: np.ndarray, order: np.ndarray
) -> list[np.ndarray]:
    drawn: list[np.ndarray] = []
    groups = _groups(last, name)
    looks = group_looks(last["group"].values) if groups.size else {}
    for group in map(str, groups):
        values = last[name].sel(group=group).values[order]
        line(panel, numbers, values, looks[group], shown(group))
        if f"{name}_interval" in last:
            bounds = last[f"{name}_interval"].sel(group=group).transpose("bound", "variant").values
            dots(panel, numbers, values, looks[group], bounds[:, order])
        drawn.append(values)
    return drawn


@house_style()
def downstream_groups(result: xr.Dataset) -> Figure:
    """Distance to the run without edits over depths, a panel for some variants, a line a group."""
    chosen = a_few(result.sizes["variant"], PANELS)
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    sheet = Sheet(rows, columns, Room(width=2.3, height=1.6, down=0.62), sharey=True, sharex=True)
    name, looks = "group_relative_delta", group_looks(result["group"].values)
    groups = [str(group) for group in _groups(result, name)]
    for panel, place in zip(sheet.each(len(chosen)), chosen, strict=True):
        variant = result.isel(variant=place)
        for group in groups:
            here = variant.sel(group=group)
            line(panel, result["depth"], here[name], looks[group], shown(group))
            if f"{name}_interval" in here:
                bounds = here[f"{name}_interval"].transpose("bound", "depth").values
                band(panel, result["depth"].values, bounds, looks[group].colour)
        panel.set_title(shown(str(variant["edits"].values), 36), fontsize=8)
        layer_axis(panel, "depth")
    by_orders(sheet.flat[0].yaxis, result[name].isel(variant=chosen).sel(group=groups).values)
    for row in sheet.panels:
        row[0].set_ylabel(LABELS["relative_delta"])
    shaded = INTERVAL if f"{name}_interval" in result else ""
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *swatches(shaded=shaded)])
    return sheet.done("What an edit changes downstream, by group of tokens")


@house_style()
def group_losses(result: xr.Dataset) -> Figure:
    """Change of the loss of each group of tokens, a row a variant; many variants are counted."""
    names = [
        shown(
            edits_label(result.isel(variant=at).drop_vars("nll_change", errors="ignore")),
            LONGEST_ROW,
        )
        for at in range(result.sizes["variant"])
    ]
    few, groups = len(names) <= MOST_ROWS, _groups(result)
    left = 0.3 + max(map(len, names)) * LETTER if few else 0.68
    room = Room(
        4.2,
        max(1.0, 0.28 * len(names)) if few else 2.6,
        left=left,
        panel_title=False,
        words="y" if few else "",
    )
    sheet, looks = Sheet(1, 1, room), group_looks(result["group"].values)
    panel, places = sheet.flat[0], np.arange(len(names), dtype=float)
    for at, group in enumerate(map(str, groups)):
        here, shift = result.sel(group=group), (at - (len(groups) - 1) / 2) * SPREAD / len(groups)
        bounds = here.get("group_nll_change_interval")
        limits = None if bounds is None else bounds.transpose("bound", "variant").values
        _across(panel, places + shift, here["group_nll_change"].values, limits, looks[group], few)
    changes = result["group_nll_change"].sel(group=groups).values
    by_orders(panel.xaxis if few else panel.yaxis, changes)
    _variant_axis(panel, names, few)
    named = panel.get_legend_handles_labels()[0]
    for handle, group in zip(named, groups, strict=True):
        handle.set_label(shown(str(group)))
    interval = INTERVAL if "group_nll_change_interval" in result else ""
    sheet.legend([*named, *swatches(interval)])
    return sheet.done("Change of the loss by group of tokens")


def _across(
    panel: Axes,
    places: np.ndarray,
    values: np.ndarray,
    limits: np.ndarray | None,
    look: Look,
    few: bool,
) -> None:
    if not few:
        dots(panel, places, values, look, limits, "group")
        return
    if limits is not None:
        panel.hlines(places, *limits, color=look.colour, linewidth=1)
    face = look.colour if look.line == "-" else "white"
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markerfacecolor": face}
    panel.plot(values, places, color=look.colour, label="group", **style)


def _variant_axis(panel: Axes, names: Sequence[str], few: bool) -> None:
    if few:
        panel.axvline(0, color=GREY, linewidth=0.7, zorder=0.5)
        panel.set_yticks(range(len(names)), names)
        panel.invert_yaxis()
        panel.set_xlabel(CHANGE)
        return
    zero_line(panel)
    layer_axis(panel, "variant, in the order of the table, counted from 0")
    panel.set_ylabel(CHANGE)


def _errors(result: xr.Dataset) -> Any:
    """Return the interval of the change of the loss, else less and plus its standard error."""
    if "nll_change_interval" in result:
        return result["nll_change_interval"].transpose("bound", ...).values
    by_sentence = result["sentence_nll_change"]
    error = by_sentence.std("sentence", ddof=1) / by_sentence.notnull().sum("sentence") ** 0.5
    change = result["nll_change"].values
    return np.stack([change - error.values, change + error.values])


def _intervals(result: xr.Dataset) -> list[Artist]:
    """Return the entries of a legend that say what intervals are: groups have their own."""
    if "nll_change" not in result:
        return []
    if "nll_change_interval" in result:
        return swatches(INTERVAL)
    grouped = "group_nll_change_interval" in result
    return [*swatches(ERROR), *swatches(f"of groups {INTERVAL}" if grouped else "")]


def _groups(result: xr.Dataset, name: str = "group_nll_change") -> np.ndarray:
    """Return the groups that have numbers of their own, as many as a figure shows."""
    if name not in result:
        return np.array([], dtype=np.str_)
    named: np.ndarray = result[name].dropna("group", how="all")["group"].values
    return named[:MOST_GROUPS]


def _order(result: xr.Dataset) -> Series:
    return Series("variant", np.arange(result.sizes["variant"], dtype=float))
