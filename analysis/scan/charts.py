"""Study 3: the chart of what skipping each layer costs."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.group_looks import INK, Look, group_looks

ALL = "all predicted tokens"
SPREAD = 0.45  # of the distance of two layers, over which dots of groups lie side by side


def cost_chart(result: xr.Dataset) -> charts.Chart:
    """Change of the loss by the layer that is skipped, with intervals; by group too."""
    joined = _costs(result)
    joined |= {"moved": result["final_relative_delta"]}
    known = joined["change"].dropna("group", how="all")["group"].values
    labels = {"": ALL} | (charts.group_labels(result) if len(known) > 1 else {})
    looks = {"": Look(INK)} | group_looks(result["group"].values if len(known) > 1 else ())
    series = charts.Series(
        *("group", tuple(labels[str(name)] for name in known), "tokens"),
        looks=tuple(looks[str(name)] for name in known),
    )
    shift = (np.arange(len(known)) - (len(known) - 1) / 2) * SPREAD / len(known)
    joined["at"] = result["layer"] + xr.DataArray(shift, {"group": known}, "group")
    # a place alone does not make a row
    joined["at"] = joined["at"].where(joined["change"].notnull())
    records = charts.Records(
        {name: _of(array, known) for name, array in joined.items()}, labels={"group": labels}
    )
    lower = "95 % from" if "nll_change_interval" in result else "from (standard error)"
    hover = charts.tips(
        *(("group", "tokens"), ("#layer", "skipped layer"), ("#change", "change of loss (nats)")),
        *(("#low", lower), ("#high", "to"), ("#moved", "change of the last residual, relative")),
    )
    scale = charts.scale_of([row["change"] for row in records])
    shown = charts.Lines(
        *("at", "change", series, "layer that is skipped", "change of loss (nats per token)"),
        *(hover, ("low", "high")),
        dots=True,
        **scale,
    )
    view = charts.lines(shown)
    if scale["scale"] != "log":
        view = charts.with_zero(view)
    return charts.chart(
        "Change of the loss when a layer is skipped, by layer",
        records,
        {"height": 280, **view},
        series=series,
    )


def _costs(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the change of the loss and its ends, of all tokens, the group "", and of groups.

    Without an interval, the ends are less and plus the standard error over sentences.
    """
    found = charts.bounded(result, "nll_change")
    found["change"] = change = found.pop("nll_change")
    if "low" not in found:
        by_sentence = result["sentence_nll_change"]
        error = by_sentence.std("sentence", ddof=1) / by_sentence.notnull().sum("sentence") ** 0.5
        found |= {"low": change - error, "high": change + error}
    parts = {name: [array.expand_dims(group=[""])] for name, array in found.items()}
    if "group_nll_change" in result:
        groups = charts.bounded(result, "group_nll_change")
        parts["change"].append(groups.pop("group_nll_change"))
        for name, array in groups.items():
            parts[name].append(array)
    return {name: xr.concat(each, "group", join="outer") for name, each in parts.items()}


def _of(array: xr.DataArray, groups: object) -> xr.DataArray:
    return array.sel(group=groups) if "group" in array.dims else array
