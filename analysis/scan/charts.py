"""Study 3: the chart of what skipping each layer costs."""

from __future__ import annotations

import xarray as xr

from actlas.analysis import charts

ALL = "all tokens"


def cost_chart(result: xr.Dataset) -> charts.Chart:
    """Change of the loss by the layer that is skipped, with its standard error; by group too."""
    by_sentence = result["sentence_nll_change"]
    error = by_sentence.std("sentence", ddof=1) / by_sentence.notnull().sum("sentence") ** 0.5
    change = result["nll_change"]
    found = {"change": change, "low": change - error, "high": change + error}
    parts = {name: [array.expand_dims(group=[""])] for name, array in found.items()}
    if "group_nll_change" in result:
        groups = charts.bounded(result, "group_nll_change")
        parts["change"].append(groups.pop("group_nll_change"))
        for name, array in groups.items():
            parts[name].append(array)
    joined = {name: xr.concat(each, "group", join="outer") for name, each in parts.items()}
    joined |= {"moved": result["final_relative_delta"]}
    known = joined["change"].dropna("group", how="all")["group"].values
    labels = {"": ALL} | (charts.group_labels(result) if len(known) > 1 else {})
    series = charts.Series("group", tuple(labels[str(name)] for name in known), "tokens")
    records = charts.Records(
        {name: _of(array, known) for name, array in joined.items()}, labels={"group": labels}
    )
    hover = charts.tips(
        *(("group", "tokens"), ("#layer", "skipped layer"), ("#change", "change of loss (nats)")),
        *(("#low", "from"), ("#high", "to"), ("#moved", "change of the last residual, relative")),
    )
    scale = charts.scale_of([row["change"] for row in records])
    shown = charts.Lines(
        *("layer", "change", series, "layer that is skipped", "change of loss (nats per token)"),
        *(hover, ("low", "high")),
        **scale,
    )
    view = charts.lines(shown)
    view["layer"] = [each for each in view["layer"] if each.get("mark") != {"type": "line"}]
    if scale["scale"] != "log":
        view = charts.with_zero(view)
    return charts.chart(
        "Change of the loss when a layer is skipped, by layer",
        records,
        {"height": 280, **view},
        series=series,
    )


def _of(array: xr.DataArray, groups: object) -> xr.DataArray:
    return array.sel(group=groups) if "group" in array.dims else array
