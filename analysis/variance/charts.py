"""Study 1, first chart: variance of groups of tokens over layers."""

from __future__ import annotations

import xarray as xr

from actlas.analysis import charts
from actlas.analysis.data.sites import feature_dims

NAMES = {"q": "Query Q", "k": "Key K", "v": "Value V"}


def variance_chart(result: xr.Dataset) -> charts.Chart:
    """Variance by layer, a panel for each projection: mean over features, quartiles as a band."""
    found = charts.bounded(result, "variance")
    known = [str(name) for name in result["projection"].values]
    quartiles = xr.concat([_quartiles(result, name) for name in known], result["projection"])
    for end, name in (("lower", 0.25), ("upper", 0.75)):
        found[end] = quartiles.sel(quantile=name, drop=True)
    names = {"projection": NAMES, "group": charts.group_labels(result)}
    series = charts.group_series(result)
    hover = charts.tips(
        *(("group", "tokens"), ("projection", "projection"), ("#layer", "layer")),
        *(("#variance", "variance"), *charts.ends(found)),
        *(("#lower", "features: lower quartile"), ("#upper", "upper quartile")),
    )
    shown = charts.Lines(
        *("layer", "variance", series, "layer", "variance over tokens", hover),
        interval=charts.interval(found),
        band=("lower", "upper"),
    )
    panels = [NAMES[name] for name in known]
    return charts.chart(
        "Variance of each group of tokens by layer, for queries, keys and values",
        charts.Records(found, labels=names),
        charts.facet("projection", charts.lines(shown), columns=3, names=panels),
        series=series,
    )


def _quartiles(result: xr.Dataset, projection: str) -> xr.DataArray:
    features = result[f"feature_variance_{projection}"]
    flat = features.stack(feature=feature_dims(features), create_index=False)
    found = flat.quantile([0.25, 0.75], dim="feature")
    return found.drop_vars("head", errors="ignore")
