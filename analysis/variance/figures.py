"""Study 1, first figure: variance of groups of tokens."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.data.sites import feature_dims
from actlas.analysis.plots.marks import band, bars, by_orders, entry, layer_axis, line, swatches
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import (
    INTERVAL,
    LINES,
    MOST_GROUPS,
    Look,
    group_label,
    group_looks,
    house_style,
    projection_label,
    shown,
)

FEW_GROUPS = 5  # of a panel whose legend names projections too
LABEL = "variance over tokens"


@house_style()
def variance_profile(result: xr.Dataset, word: str | None) -> Figure:
    """Variance over layers, a panel per projection.

    Mean over features, quartiles over features as a band.

    result: of ``actlas.analysis.variance.compute.variance_profile``; where it has intervals, they
    stand as bars. word: the target, where there is one.
    """
    projections = [str(name) for name in result["projection"].values]
    sheet = Sheet(1, len(projections), Room(width=2.8, height=2.3), sharex=True, sharey=True)
    features = {name: _features(result, name) for name in projections}
    heads = {name: count for name, (count, _) in features.items()}
    looks = group_looks(result["group"].values[:MOST_GROUPS])
    for panel, projection in zip(sheet.flat, projections, strict=True):
        for at, (group, look) in enumerate(looks.items()):
            values = features[projection][1][at]  # (layer, feature)
            low, high = np.nanquantile(values, [0.25, 0.75], axis=1)
            band(panel, result["layer"].values, (low, high), look.colour)
            label = group_label(group, word, result.attrs.get("control"))
            _mean(panel, result.sel(group=group, projection=projection), look, label)
        panel.set_title(projection_label(projection, heads))
        layer_axis(panel, "layer")
    by_orders(sheet.flat[0].yaxis, result["variance"].isel(group=slice(MOST_GROUPS)).values)
    sheet.flat[0].set_ylabel(LABEL)
    interval = INTERVAL if "variance_interval" in result else ""
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *swatches(interval, shaded="quartiles over features")])
    what = f"How context enters “{shown(word)}”" if word else "Variance of groups of tokens"
    return sheet.done(f"{what}: variance over tokens, mean over features")


def variance_panel(panel: Axes, result: xr.Dataset, word: str | None) -> None:
    """Variance of all projections over layers, a colour per group, a style per projection."""
    control, handles = result.attrs.get("control"), []
    looks = group_looks(result["group"].values[:FEW_GROUPS])
    for group, look in looks.items():
        for projection, style in zip(result["projection"].values, LINES, strict=False):
            mean = result["variance"].sel(group=group, projection=projection)
            drawn = line(panel, result["layer"], mean, Look(look.colour, style))
        label = group_label(group, word, control)
        handles.append(entry(label, look.colour, marker=drawn.get_marker()))
    for projection, style in zip(result["projection"].values, LINES, strict=False):
        handles.append(entry(str(projection).upper(), linestyle=style))
    layer_axis(panel, "layer")
    panel.set_ylabel(LABEL)
    by_orders(panel.yaxis, result["variance"].sel(group=list(looks)).values)
    panel.legend(handles=handles, fontsize="small", frameon=True, framealpha=0.8, edgecolor="w")


def _features(result: xr.Dataset, projection: str) -> tuple[int, np.ndarray]:
    """Return how many heads a projection has, and its features (group, layer, feature)."""
    features = result[f"feature_variance_{projection}"]
    dims = feature_dims(features)
    values = features.transpose("group", "layer", *dims).values
    return features.sizes[dims[0]], values.reshape(*values.shape[:2], -1)


def _mean(panel: Axes, here: xr.Dataset, look: Look, label: str) -> None:
    layers, mean = here["layer"].values, here["variance"].values
    line(panel, layers, mean, look, label)
    if "variance_interval" in here:
        bounds = here["variance_interval"].transpose("bound", "layer").values
        bars(panel, layers, mean, bounds, look.colour)
