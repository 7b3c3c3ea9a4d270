"""Study 2, the figures of sizes.

The residual stream and who writes it, every site, and groups of tokens.
"""

from __future__ import annotations

from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter, MaxNLocator, NullFormatter

from actlas.analysis.data.group_names import ALL, FIRST, LATER
from actlas.analysis.data.sites import head_dim
from actlas.analysis.declaring.group_tables import whole_group
from actlas.analysis.declaring.laws import ADD, no_sum
from actlas.analysis.norms.compute import WRITERS
from actlas.analysis.plots.style import SERIES_COLOURS, shown
from actlas.store.errors import UsageError

COLOURS = {LATER: SERIES_COLOURS[0], ALL: SERIES_COLOURS[0], FIRST: SERIES_COLOURS[1]}
WRITER_COLOURS = dict(zip(WRITERS, SERIES_COLOURS[2:], strict=False))
NOT_STORED = "attn_out and mlp_out are not stored"
COLUMNS = 4
WIDE = 30  # times the lowest value of a scale that powers of ten are enough for


def norm_stream(result: xr.Dataset, law: str = ADD) -> Figure:
    """The residual stream over depths.

    Norms of its tokens, what is written into it, its steps and spread, the shares.

    result: of ``actlas.analysis.norms.compute.norm_profile``, with ``resid``; without what writers
    write their panels say so, and where by the ``law`` of the model nothing has a share.
    """
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    norms, written, steps, shares = figure.subplots(2, 2).ravel()
    _distribution(norms, result["norm_resid"])
    norms.set_title("norm of a token's residual stream")
    _written(written, result)
    for group, _ in _shown(result):
        colour = COLOURS[group]
        per_token = result["step"].sel(group=group) / result["tokens"].sel(group=group) ** 0.5
        steps.plot(result["depth"], per_token, **_line(colour), label=f"step, {group}")
        steps.plot(
            result["depth"],
            result["std"].sel(group=group),
            **_line(colour, "--"),
            label=f"std, {group}",
        )
    steps.set_title("step h[d] − h[d−1], root mean square over tokens; std over all")
    steps.set_xlabel("depth")
    _shares(shares, result, no_sum(law))
    for panel in (norms, written, steps):
        _logarithmic(panel)
    for panel in (norms, written, steps, shares):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize=8)
    figure.suptitle(
        f"The residual stream: {', '.join(group for group, _ in _shown(result))}", fontsize=11
    )
    return figure


def norm_sites(result: xr.Dataset) -> Figure:
    """Norms of every site's vectors over layers.

    Median, quartiles and largest of later tokens, median of first ones.

    Of sites with heads, the mean over heads of each of these.
    """
    sites = [str(name) for name in result if str(name).startswith("norm_") and _axis(result[name])]
    rows = -(-len(sites) // COLUMNS)
    figure = Figure(figsize=(13, 0.8 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for panel in panels.flat[len(sites) :]:
        panel.set_axis_off()
    for panel, name in zip(panels.flat, sites, strict=False):
        heads = head_dim(result[name])
        _distribution(panel, result[name].mean(heads) if heads else result[name])
        of_heads = f", mean over {result.sizes[heads]} heads" if heads else ""
        panel.set_title(name.removeprefix("norm_") + of_heads)
        _logarithmic(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        *panels.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    figure.suptitle("Euclidean norm of a token's vector, by site", fontsize=11)
    return figure


def norm_groups(result: xr.Dataset, site: str) -> Figure:
    """Norms of one site for every group of tokens but the first ones.

    Mean over tokens, quartiles as a band; intervals over clusters as bars, where there are any.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    panel: Axes = figure.subplots()
    norms = result[f"norm_{site}"]
    heads = head_dim(norms)
    norms = norms.mean(heads) if heads else norms
    groups = [str(group) for group in result["group"].values if group != FIRST]
    for number, group in enumerate(groups):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        style = ("-", "--", ":", "-.")[number // len(SERIES_COLOURS) % 4]
        of_group, places = norms.sel(group=group), norms[_axis(norms)]
        low, high = (of_group.sel(statistic=name) for name in ("lower quartile", "upper quartile"))
        panel.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        count = int(result["tokens"].sel(group=group))
        panel.plot(
            places,
            of_group.sel(statistic="mean"),
            **_line(colour, style),
            label=f"{shown(group)} ({count} tokens)",
        )
        if f"mean_norm_{site}_interval" in result and not heads:
            interval = result[f"mean_norm_{site}_interval"].sel(group=group)
            mean = of_group.sel(statistic="mean").values
            low, high = interval.transpose("bound", ...).values
            bars = [(mean - low).clip(0), (high - mean).clip(0)]
            panel.errorbar(places, mean, bars, color=colour, fmt="none", capsize=2, linewidth=1)
    panel.set_xlabel(_place_name(norms))
    panel.set_ylabel(f"norm of {site}")
    _logarithmic(panel)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(
        *panel.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9
    )
    bars_named = "; bars: 95 % over clusters" if f"mean_norm_{site}_interval" in result else ""
    panel.set_title(
        f"{site}: mean over tokens, band between their quartiles{bars_named}", fontsize=11
    )
    return figure


def norm_panel(panel: Axes, result: xr.Dataset) -> None:
    """Norms of the residual stream, without it of the first site, over depths or layers."""
    names = [str(name) for name in result if str(name).startswith("norm_") and _axis(result[name])]
    if not names:
        raise UsageError("no site of this result has layers or depths to draw norms over")
    name = "norm_resid" if "norm_resid" in names else names[0]
    heads = head_dim(result[name])
    _distribution(panel, result[name].mean(heads) if heads else result[name])
    _logarithmic(panel)
    panel.set_ylabel(f"norm of a token's {name.removeprefix('norm_')}")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(frameon=False, fontsize=8)


def _distribution(panel: Axes, norms: xr.DataArray) -> None:
    """Draw median, quartiles and largest of later tokens, and the median of first ones."""
    whole = whole_group(norms)
    places, later = norms[_axis(norms)], norms.sel(group=whole)
    low, high = (later.sel(statistic=name) for name in ("lower quartile", "upper quartile"))
    panel.fill_between(
        places, low, high, color=COLOURS[whole], alpha=0.2, linewidth=0, label=f"quartiles, {whole}"
    )
    panel.plot(
        places, later.sel(statistic="median"), **_line(COLOURS[whole]), label=f"median, {whole}"
    )
    panel.plot(
        places,
        later.sel(statistic="largest"),
        color=COLOURS[whole],
        linestyle=":",
        label=f"largest, {whole}",
    )
    if FIRST in norms["group"].values:
        first = norms.sel(group=FIRST, statistic="median")
        panel.plot(places, first, **_line(COLOURS[FIRST]), label=f"median, {FIRST}")
    panel.set_xlabel(_place_name(norms))


def _written(panel: Axes, result: xr.Dataset) -> None:
    for writer, site in WRITERS.items():
        if f"norm_{site}" in result:
            norms = result[f"norm_{site}"].sel(statistic="median")
            for group, style in _shown(result):
                line = _line(WRITER_COLOURS[writer], style)
                panel.plot(
                    norms["layer"], norms.sel(group=group), **line, label=f"{writer}, {group}"
                )
    panel.set_title("norm of what a layer writes (median)")
    panel.set_xlabel("layer")
    _say_if_empty(panel, NOT_STORED)


def _shares(panel: Axes, result: xr.Dataset, why_not: str) -> None:
    if "share" in result:
        for writer in result["share"]["writer"].values:
            for group, style in _shown(result):
                share = result["share"].sel(writer=writer, group=group)
                panel.plot(
                    share["layer"],
                    share,
                    **_line(WRITER_COLOURS[str(writer)], style),
                    label=f"{writer}, {group}",
                )
        panel.axhline(0, color="0.6", linewidth=0.8)
    panel.set_title("share of a layer's output that it has just written")
    panel.set_xlabel("layer")
    _say_if_empty(panel, f"none: {why_not}" if why_not else NOT_STORED)


def _shown(result: xr.Dataset) -> list[tuple[str, str]]:
    """Return the groups that are drawn, with the style of their lines."""
    first = [(FIRST, "--")] if FIRST in result["group"].values else []
    return [(whole_group(result), "-"), *first]


def _say_if_empty(panel: Axes, why: str) -> None:
    if not panel.lines:
        where: dict[str, Any] = {"ha": "center", "va": "center", "transform": panel.transAxes}
        panel.text(0.5, 0.5, why, **where)
        panel.set_axis_off()


def _logarithmic(panel: Axes) -> None:
    """Set a logarithmic scale whose numbers are written as such.

    Those between powers of ten have labels where powers of ten are few.
    """
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(LogFormatter() if high < WIDE * low else NullFormatter())


def _line(colour: str, style: str = "-") -> dict[str, Any]:
    return {"color": colour, "linestyle": style, "marker": "o", "markersize": 3}


def _axis(norms: xr.DataArray) -> str:
    """Return the dim that stands for the place in the model, '' where there is one place only."""
    return next((dim for dim in ("layer", "depth") if dim in norms.dims), "")


def _place_name(norms: xr.DataArray) -> str:
    return "layer" if _axis(norms) == "layer" else "depth"
