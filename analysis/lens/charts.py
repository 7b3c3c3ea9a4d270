"""Charts of a lens: the words of sentences at every depth, and the profile over depths."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts

MEASURES = {
    "mean_nll": "loss (nats)",
    "mean_kl": "KL from the last depth (nats)",
    "mean_entropy": "entropy (nats)",
}
SHADES = {"scheme": "oranges", "domainMin": 0}
ROW = 17  # height of a depth, in pixels


def profile_chart(result: xr.Dataset) -> charts.Chart:
    """Loss, divergence from the last depth and entropy by depth, a panel each, a line a group."""
    there = [name for name in MEASURES if name in result]
    measure = xr.Variable("measure", [MEASURES[name] for name in there])
    each = [charts.bounded(result, name) for name in there]
    found = {"value": xr.concat([f[name] for f, name in zip(each, there, strict=True)], measure)}
    if all("low" in bounds for bounds in each):
        found |= {end: xr.concat([f[end] for f in each], measure) for end in ("low", "high")}
    found = {name: array.drop_attrs() for name, array in found.items()}
    known = found["value"].dropna("group", how="all")["group"].values
    series = charts.group_series(result, [str(name) for name in known])
    hover = charts.tips(
        *(("group", "tokens"), ("measure", "measure"), ("#depth", "depth")),
        *(("#value", "nats"), *charts.ends(found)),
    )
    bounds = charts.interval(found)
    shown = charts.Lines(
        *("depth", "value", series, "depth", "nats", hover), interval=bounds, band=bounds
    )
    panels = charts.facet("measure", charts.lines(shown), columns=3, names=list(measure.values))
    panels["resolve"]["scale"] = {"y": "independent"}
    return charts.chart(
        "Loss, divergence from the last depth and entropy by depth",
        charts.Records(found, labels={"group": charts.group_labels(result)}),
        panels,
        series=series,
    )


def words_chart(result: xr.Dataset) -> charts.Chart | None:
    """First choice of every depth for the tokens of a sentence, the next ones on hover."""
    if not result.sizes.get("grid"):
        return None
    places, choices = result["grid"].values, range(result.sizes["choice"])
    here = result.isel(token=places).drop_vars("index", errors="ignore")
    likely, found = here["top_probability"].rename(token="grid"), {}
    for number in choices:
        found[f"p{number}"] = likely.isel(choice=number)
        found[f"w{number}"] = result["grid_word"].isel(choice=number)
    for name in ("sentence", "position"):
        found[name] = xr.DataArray(here[name].values, dims="grid")
    found["read"] = result["read_word"]
    bare = {name: array.reset_coords(drop=True) for name, array in found.items()}
    records = charts.Records({name: _placed(array, result) for name, array in bare.items()})
    hover = [("read", "read"), ("#position", "position"), ("#depth", "depth")]
    for number in choices:
        # names of rows on hover differ, as a page trims them
        hover += [(f"w{number}", f"choice {number + 1}"), (f"#p{number}", "p" + " " * number)]
    view = _grid(charts.tips(*hover), result.sizes["depth"])
    sentences = list(dict.fromkeys(here["sentence"].values.tolist()))
    return charts.chart(
        "First choice of every depth for each token of a sentence",
        records,
        view,
        params=[charts.choice("shown_sentence", [int(n) for n in sentences], "sentence")],
    )


def loss_chart(result: xr.Dataset) -> charts.Chart | None:
    """The loss of the first tokens of a sentence at the last depth, a bar each."""
    if not result.sizes.get("grid") or "nll" not in result:
        return None
    here = result.isel(token=result["grid"].values).drop_vars("index", errors="ignore")
    found = {"loss": here["nll"].isel(depth=-1), "read": result["read_word"]}
    for name in ("sentence", "position"):
        found[name] = xr.DataArray(here[name].values, dims="grid")
    found["loss"] = xr.DataArray(found["loss"].values, dims="grid")
    bare = {name: array.reset_coords(drop=True) for name, array in found.items()}
    records = charts.Records({name: _placed(array, result) for name, array in bare.items()})
    hover = charts.tips(("read", "read"), ("#position", "position"), ("#loss", "loss (nats)"))
    axis = {"format": ".3~g", "tickCount": 6, "labelOverlap": True}
    bar = {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "y": {"field": "loss", "type": "quantitative", "title": "loss (nats)", "axis": axis},
            "color": {"field": "loss", "type": "quantitative", "legend": None, "scale": SHADES},
            "tooltip": hover,
        },
    }
    sentences = [int(number) for number in dict.fromkeys(here["sentence"].values.tolist())]
    x = {"field": "grid", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.1}}
    view = {"height": 220, "encoding": {"x": x}, "layer": [bar, _below()]}
    return charts.chart(
        "Loss of the first tokens of a sentence at the last depth",
        records,
        {"transform": [{"filter": "datum.sentence == loss_sentence"}], **view},
        params=[charts.choice("loss_sentence", sentences, "sentence")],
    )


def _below() -> charts.Chart:
    """Return the token that was read, below its column."""
    mark = {"type": "text", "style": "word", "angle": 315, "align": "right", "fontSize": 11}
    mark |= {"limit": 90, "dy": 4, "baseline": "top"}
    return {
        "transform": [{"aggregate": [], "groupby": ["grid", "read"]}],
        "mark": mark,
        "encoding": {
            "text": {"field": "read", "type": "nominal"},
            "y": {"value": {"expr": "height"}},
        },
    }


def _placed(array: xr.DataArray, result: xr.Dataset) -> xr.DataArray:
    """Return an array whose tokens are counted, and whose depths are the result's."""
    named = array.assign_coords(grid=np.arange(result.sizes["grid"]))
    return named.assign_coords(depth=result["depth"].values) if "depth" in array.dims else named


def _grid(hover: list[charts.Chart], depths: int) -> charts.Chart:
    """Return cells with their words, and below each column the token that was read."""
    x = {"field": "grid", "type": "ordinal", "axis": None}
    axis = {"grid": False, "ticks": False, "domain": False, "labelOverlap": True}
    y = {"field": "depth", "type": "ordinal", "sort": "descending", "axis": axis, "title": "depth"}
    legend = {"title": "probability", "orient": "top", "gradientLength": 180}
    scale = {"scheme": "blues", "domain": [0, 1]}
    colour = {"field": "p0", "type": "quantitative", "scale": scale, "legend": legend}
    cell = {"mark": {"type": "rect"}, "encoding": {"color": colour, "tooltip": hover}}
    narrow = "bandwidth('x') - 3"
    word = {"type": "text", "fontSize": 10, "limit": {"expr": narrow}}
    word |= {"opacity": {"expr": "bandwidth('x') > 18 ? 1 : 0"}, "tooltip": None}
    light = {"condition": {"test": "datum.p0 > 0.55", "value": "#ffffff"}, "value": "#1b1e23"}
    said = {"mark": word, "encoding": {"text": {"field": "w0", "type": "nominal"}, "color": light}}
    return {
        "transform": [{"filter": "datum.sentence == shown_sentence"}],
        "height": ROW * depths,
        "encoding": {"x": x},
        "layer": [
            {"encoding": {"y": y}, "layer": [cell, said]},
            _below(),
        ],
    }
