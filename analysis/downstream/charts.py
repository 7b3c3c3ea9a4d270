"""Studies 3 to 5: charts of what edits do downstream."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.group_looks import group_looks
from actlas.analysis.norms.per_token import LABELS, RELATIVE, per_token

LONGEST_EDITS = 100  # characters of a variant's edits
NAMES = {
    **LABELS,
    "relative_delta": RELATIVE,
    "std": "standard deviation of h[d]",
}
DEPTH = "depth d (output of layer d − 1)"


def delta_chart(result: xr.Dataset) -> charts.Chart:
    """Distance to the run without edits over depths, as it is and relative to its norm."""
    records, series = _records(result, ("delta", "relative_delta"))
    views = [_panel(records, series, name) for name in ("delta", "relative_delta")]
    return charts.chart(
        "Distance of each variant to the run without edits, by depth",
        records,
        charts.beside(views, columns=2),
        series=series,
    )


def profile_chart(result: xr.Dataset, name: str) -> charts.Chart:
    """``step`` or ``std`` over depths, of variants; the run without edits as a dashed line."""
    records, series = _records(result, (name,))
    without = charts.Records({"baseline": _of_token(result, f"baseline_{name}")})
    panel = _panel(records, series, name, [row["baseline"] for row in without])
    field = panel["encoding"].pop("x"), panel["layer"][0]["encoding"]["y"]
    line = {
        "data": {"name": "without"},
        "mark": {"type": "line", "style": "guide", "point": True},
        "encoding": {
            "x": field[0],
            "y": {**field[1], "field": "baseline"},
            "tooltip": charts.tips(("#depth", "depth"), ("#baseline", "without edits")),
        },
    }
    variants = {"encoding": {"x": field[0], **panel["encoding"]}, "layer": panel["layer"]}
    variants["transform"] = [series.shown]
    spec = charts.chart(
        f"{NAMES[name]} of each variant by depth; dashed: the run without edits",
        records,
        {"width": charts.WIDTH, "height": 280, "layer": [line, variants]},
    )
    spec["usermeta"] = {"actlas": {} if series.many else {"series": series.meta}}
    return spec | {"datasets": {"rows": records, "without": without}, "params": series.params}


def variant_labels(result: xr.Dataset) -> dict[str, str]:
    """Return what each variant is called: its edits, a number behind those that others have too."""
    labels: dict[str, str] = {}
    for variant, edits in zip(result["variant"].values, result["edits"].values, strict=True):
        text = charts.plain(edits, LONGEST_EDITS)
        labels[str(variant)] = f"{text} ({len(labels)})" if text in labels.values() else text
    return labels


def _panel(
    records: charts.Records, series: charts.Series, name: str, more: list[float] | None = None
) -> charts.Chart:
    values = [*(row[name] for row in records), *(more or [])]
    hover = charts.tips(
        *(("variant", "edits"), ("#depth", "depth"), (f"#{name}", NAMES[name])),
        *((("#loss", "change of loss (nats)"),) if "loss" in records[0] else ()),
    )
    shown = charts.Lines(
        *("depth", name, series, DEPTH, NAMES[name], hover), **charts.scale_of(values)
    )
    view = charts.lines(shown)
    point = view["layer"][-1]["encoding"]
    first = "datum.depth == datum.first"
    point["shape"] = {"condition": {"test": first, "value": "diamond"}, "value": "circle"}
    # of many lines, points would hide all others
    large, small = (40, 3) if series.many else (130, 18)
    point["size"] = {"condition": {"test": first, "value": large}, "value": small}
    return {"height": 260, **view}


def _records(result: xr.Dataset, names: tuple[str, ...]) -> tuple[charts.Records, charts.Series]:
    """Return rows of variants and depths, and the variants as series, called by their edits."""
    labels = variant_labels(result)
    found = {name: _of_token(result, name) for name in names} | {"first": result["first_depth"]}
    found["number"] = xr.DataArray(np.arange(result.sizes["variant"]), dims="variant")
    if "nll_change" in result:
        found["loss"] = result["nll_change"]
    found = {name: array.drop_vars("edits", errors="ignore") for name, array in found.items()}
    looks = group_looks(labels.values())
    # those beyond the last colour begin again with another style of line
    series = charts.Series(
        *("variant", tuple(labels.values()), "variant", "number"), tuple(looks.values())
    )
    return charts.Records(found, labels={"variant": labels}), series


def _of_token(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return what is shown of ``name``: of norms over all tokens, that of one."""
    return per_token(result, name) if name.removeprefix("baseline_") in LABELS else result[name]
