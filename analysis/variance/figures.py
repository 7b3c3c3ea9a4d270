"""Study 1, first figure: variance of groups of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.data.sites import feature_dims
from actlas.analysis.plots.style import (
    group_colours,
    group_label,
    projection_label,
    shown,
)

STYLES = ("-", "--", ":")


def variance_profile(result: xr.Dataset, word: str | None) -> Figure:
    """Variance over layers, a panel per projection.

    Mean over features, quartiles over features as a band.

    result: of ``actlas.analysis.variance.compute.variance_profile``; where it has intervals, they
    stand as bars. word: the target, where there is one.
    """
    figure = Figure(figsize=(10, 4.0), layout="constrained")
    projections = [str(name) for name in result["projection"].values]
    panels: Sequence[Axes] = figure.subplots(1, len(projections))
    heads = {name: _features(result, name)[0] for name in projections}
    for panel, projection in zip(panels, projections, strict=True):
        for group, colour in group_colours(result["group"].values).items():
            _group(
                panel,
                result,
                projection,
                group,
                colour,
                group_label(group, word, result.attrs.get("control")),
            )
        panel.set_title(projection_label(projection, heads))
        panel.set_xlabel("layer")
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("variance over tokens")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    bars_named = "; bars: 95 % bootstrap over clusters" if "variance_interval" in result else ""
    what = f"How context enters “{shown(word)}”" if word else "Variance of groups of tokens"
    figure.suptitle(
        f"{what}: mean over features, band between their quartiles{bars_named}",
        fontsize=11,
    )
    return figure


def variance_panel(panel: Axes, result: xr.Dataset, word: str | None) -> None:
    """Variance of all projections over layers, a colour per group, a style per projection."""
    control = result.attrs.get("control")
    for projection, style in zip(result["projection"].values, STYLES, strict=False):
        for group, colour in group_colours(result["group"].values).items():
            mean = result["variance"].sel(group=group, projection=projection)
            label = f"{str(projection).upper()}, {group_label(group, word, control)}"
            panel.plot(
                result["layer"], mean, color=colour, linestyle=style, marker="o", label=label
            )
    panel.set_xlabel("layer")
    panel.set_ylabel("variance over tokens")
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False, fontsize=8)


def _features(result: xr.Dataset, projection: str) -> tuple[int, xr.DataArray]:
    """Return how many heads a projection has, and its features (group, layer, feature)."""
    features = result[f"feature_variance_{projection}"]
    dims = feature_dims(features)
    return features.sizes[dims[0]], features.stack(feature=dims, create_index=False)


def _group(
    panel: Axes, result: xr.Dataset, projection: str, group: str, colour: str, label: str
) -> None:
    features = _features(result, projection)[1].sel(group=group)
    low, high = features.quantile([0.25, 0.75], dim="feature").values
    where = {"group": group, "projection": projection}
    layers, mean = result["layer"], result["variance"].sel(where).values
    panel.fill_between(layers, low, high, color=colour, alpha=0.18, linewidth=0)
    panel.plot(layers, mean, color=colour, marker="o", markersize=3, label=label)
    if "variance_interval" in result:
        bounds = result["variance_interval"].sel(where).transpose("bound", "layer").values
        # the mean lies outside its own bounds now and then; a bar has no negative length
        bars = [(mean - bounds[0]).clip(0), (bounds[1] - mean).clip(0)]
        panel.errorbar(layers, mean, bars, color=colour, fmt="none", capsize=2, linewidth=1)
