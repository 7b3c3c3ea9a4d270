"""Study 1, first figure: variance of target and control tokens."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actlas.analysis.plots.style import GROUP_COLOURS, PROJECTION_NAMES, group_label, shown


def variance_profile(result: xr.Dataset, word: str) -> Figure:
    """Variance over layers, a panel per projection.

    Mean over features, quartiles over features as a band.

    result: of ``actlas.analysis.variance.compute.variance_profile``; where it has a bootstrap, its
    bounds stand as bars.
    """
    figure = Figure(figsize=(10, 4.0), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, result.sizes["projection"])
    quartiles = result["feature_variance"].quantile([0.25, 0.75], dim=("head", "d_head"))
    for panel, projection in zip(panels, result["projection"].values, strict=True):
        for group, colour in GROUP_COLOURS.items():
            where = {"group": group, "projection": projection}
            low, high = quartiles.sel(where).values
            mean = result["variance"].sel(where).values
            panel.fill_between(result["layer"], low, high, color=colour, alpha=0.18, linewidth=0)
            label = group_label(group, word, result.attrs.get("control"))
            panel.plot(result["layer"], mean, color=colour, marker="o", markersize=3, label=label)
            if "variance_bootstrap" in result:
                bounds = result["variance_bootstrap"].sel(where).transpose("bound", "layer").values
                # the mean lies outside its own bootstrap bounds now and then; a bar has no negative
                # length
                bars = [(mean - bounds[0]).clip(0), (bounds[1] - mean).clip(0)]
                panel.errorbar(
                    result["layer"], mean, bars, color=colour, fmt="none", capsize=2, linewidth=1
                )
        panel.set_title(PROJECTION_NAMES[str(projection)])
        panel.set_xlabel("layer")
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel(f"variance over {result.sizes['pair']} tokens")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    bars_named = "; bars: 95 % bootstrap over sentences" if "variance_bootstrap" in result else ""
    figure.suptitle(
        f"How context enters “{shown(word)}”: mean over features, band between their "
        f"quartiles{bars_named}",
        fontsize=11,
    )
    return figure
