"""Study 1, second half: charts of the cosines, layer by layer."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis import charts

LEAST_SHARE = 1e-4  # of pairs in a bin that a map tells from none


def histogram_records(result: xr.Dataset) -> charts.Records:
    """Return the shares of pairs by group, pair of projections, layer and bin."""
    return _records(result, {"share": _shares(result), "mean": result["mean_abs"]})


def histogram_chart(result: xr.Dataset, records: charts.Records) -> charts.Chart:
    """Histograms of one layer at a time, group over group, a panel for each pair of projections.

    records: of ``histogram_records``.
    """
    series, most = charts.group_series(result), float(_shares(result).max())
    hover = charts.tips(
        *(("group", "tokens"), ("projection_pair", "pair"), ("#layer", "layer")),
        *(("#bin", "cosine"), ("#share", "share of pairs"), ("#mean", "mean |cosine|")),
    )
    # the root shows a few pairs as well as most of them
    scale = {"type": "sqrt", "domain": [0, most or 1]}
    y = {"field": "share", "type": "quantitative", "stack": None, "title": "share of pairs"}
    view = {
        "mark": {"type": "area", "interpolate": "step", "line": True, "opacity": 0.4},
        "encoding": {
            "x": {"field": "bin", "type": "quantitative", "title": "cosine", **_over_cosines()},
            "y": {**y, "scale": scale, "axis": {"format": ".2~g", "tickCount": 5}},
            "color": series.colour,
            "tooltip": hover,
        },
        "transform": [{"filter": "datum.layer == at"}],
    }
    pairs = [str(pair) for pair in result["projection_pair"].values]
    return charts.chart(
        "Histograms of the cosines between features at one layer, for six pairs of projections",
        records,
        charts.facet("projection_pair", {**view, "height": 150}, columns=3, names=pairs),
        params=[charts.choice("at", result["layer"].values.tolist(), "layer")],
        series=series,
    )


def heat_chart(result: xr.Dataset, records: charts.Records) -> charts.Chart:
    """The same histograms as layer × bin for a pair of projections, a panel for each group."""
    most = max(float(_shares(result).max()), 10 * LEAST_SHARE)
    hover = charts.tips(
        *(("group", "tokens"), ("#layer", "layer"), ("#bin", "cosine")),
        ("#share", "share of pairs"),
    )
    shown = charts.Map(
        *("bin", "layer", "share", "cosine", "layer", "share of pairs, logarithmic"),
        *(result.sizes["layer"], hover),
        domain=(LEAST_SHARE, most),
        least=LEAST_SHARE,
        where="datum.projection_pair == pair",
    )
    view = charts.heat_map(shown)
    centres = _centres(result)
    named = [centres[place * len(centres) // 4] for place in (1, 2, 3)]
    view["encoding"]["x"]["axis"]["values"] = [charts.number(each) for each in named]
    pairs = [str(pair) for pair in result["projection_pair"].values]
    names = list(charts.group_labels(result).values())
    return charts.chart(
        "Histograms of the cosines between features, a row for each layer",
        records,
        charts.facet("group", view, columns=2, names=names),
        params=[charts.choice("pair", pairs, "pair of projections")],
    )


def profile_chart(result: xr.Dataset) -> charts.Chart:
    """Mean |cosine| over layers, a panel for each pair of projections; dotted: chance."""
    found, series = charts.bounded(result, "mean_abs"), charts.group_series(result)
    if "chance" in result:
        found["chance"] = result["chance"]
    hover = charts.tips(
        *(("group", "tokens"), ("projection_pair", "pair"), ("#layer", "layer")),
        *(("#mean_abs", "mean |cosine|"), *charts.ends(found)),
        *((("#chance", "by chance"),) if "chance" in found else ()),
    )
    shown = charts.Lines(
        *("layer", "mean_abs", series, "layer", "mean |cosine|", hover),
        interval=charts.interval(found),
        level="chance" if "chance" in found else "",
        domain=(0, 1),
    )
    view = {**charts.lines(shown), "height": 150}
    pairs = [str(pair) for pair in result["projection_pair"].values]
    return charts.chart(
        "Mean |cosine| of each pair of projections by layer",
        _records(result, found),
        charts.facet("projection_pair", view, columns=3, names=pairs),
        series=series,
    )


def head_chart(result: xr.Dataset) -> charts.Chart:
    """How alike features of two heads are at one layer, a panel for each group, each pair once."""
    array = result["head_cosine"].round(3)
    one, other = (array[f"head_{end}"].values.tolist() for end in ("one", "other"))
    bare = array.drop_vars(["head_one", "head_other"])
    found = {"alike": bare}
    rows = xr.DataArray(one, dims="head_pair")
    found |= {"row": rows, "column": xr.DataArray(other, dims="head_pair")}
    hover = charts.tips(
        *(("row", "head"), ("column", "with"), ("#alike", "root mean square cosine")),
        *(("#layer", "layer"), ("group", "tokens")),
    )
    names = list(dict.fromkeys(one))
    shown = charts.Map(
        *("column", "row", "alike", "head", "head", "root mean square cosine"),
        *(len(names), hover),
        domain=(0, 1),
        where="datum.layer == at && isValid(datum.alike)",
    )
    view = charts.heat_map(shown)
    for axis in ("x", "y"):
        view["encoding"][axis]["sort"] = names[:: 1 if axis == "x" else -1]
    groups = list(charts.group_labels(result).values())
    return charts.chart(
        "How alike the features of two heads are over contexts, at one layer",
        _records(result, found),
        charts.facet("group", {**view, "height": 340}, columns=2, names=groups),
        params=[charts.choice("at", result["layer"].values.tolist(), "layer")],
    )


def _shares(result: xr.Dataset) -> xr.DataArray:
    """Return count over the defined pairs; 0 where there is none."""
    defined = result["pairs"] - result["undefined"]
    shares = result["count"] / defined.where(defined > 0, 1)
    return shares.assign_coords(bin=_centres(result))


def _centres(result: xr.Dataset) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    edges = result["bin_edge"].values
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def _records(result: xr.Dataset, found: dict[str, xr.DataArray]) -> charts.Records:
    return charts.Records(found, labels={"group": charts.group_labels(result)})


def _over_cosines() -> charts.Chart:
    return {"scale": {"domain": [-1, 1]}, "axis": {"values": [-1, -0.5, 0, 0.5, 1]}}
