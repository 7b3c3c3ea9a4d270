"""Study 2, the figures of sizes.

The residual stream and who writes it, every site, and groups of tokens.
"""

from __future__ import annotations

import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actlas.analysis.data.group_names import FIRST
from actlas.analysis.data.sites import head_dim
from actlas.analysis.declaring.group_tables import whole_group
from actlas.analysis.declaring.laws import ADD, no_sum
from actlas.analysis.norms.compute import WRITERS
from actlas.analysis.norms.per_token import LABELS, per_token
from actlas.analysis.plots.marks import (
    band,
    bars,
    entry,
    layer_axis,
    legend_in,
    line,
    log_axis,
    swatches,
    zero_line,
)
from actlas.analysis.plots.sheet import Room, Sheet
from actlas.analysis.plots.style import (
    INTERVAL,
    MOST_GROUPS,
    SERIES_COLOURS,
    Look,
    group_looks,
    house_style,
    shown,
)
from actlas.store.errors import UsageError

#: what is drawn in a colour of its own; the style of a line says of which tokens
COLOURS = {"resid": SERIES_COLOURS[0], "step": SERIES_COLOURS[1], "std": SERIES_COLOURS[4]}
WRITER_COLOURS = dict(zip(WRITERS, SERIES_COLOURS[2:], strict=False))
NOT_STORED = "attn_out and mlp_out are not stored"
COLUMNS = 4
QUARTILES, LARGEST = "quartiles", "largest"


@house_style()
def norm_stream(result: xr.Dataset, law: str = ADD) -> Figure:
    """The residual stream over depths.

    Norms of its tokens, what is written into it, its steps and spread, the shares.

    result: of ``actlas.analysis.norms.compute.norm_profile``, with ``resid``; without what writers
    write their panels say so, and where by the ``law`` of the model nothing has a share.
    """
    sheet = Sheet(2, 2, Room(width=3.3, height=2.0, across=0.75, down=0.72))
    norms, written, steps, shares = sheet.flat
    _distribution(norms, result["norm_resid"])
    norms.set_title("Norm of a token's residual stream")
    norms.set_ylabel("Euclidean norm")
    _written(written, result)
    for group, style in _shown(result):
        here = result.sel(group=group)
        line(steps, result["depth"], per_token(here, "step"), Look(COLOURS["step"], style))
        line(steps, result["depth"], here["std"], Look(COLOURS["std"], style))
    log_axis(steps.yaxis)
    steps.set_title(f"Step {LABELS['step']}; std of values")
    steps.set_ylabel("RMS step, standard deviation")
    layer_axis(steps, "depth")
    _shares(shares, result, no_sum(law))
    sheet.legend(_stream_legend(result))
    return sheet.done("The residual stream: its size, and who writes it")


def _stream_legend(result: xr.Dataset) -> list[Artist]:
    """Return what colours are, of which tokens lines are, and what else is drawn."""
    colours = {"norm": COLOURS["resid"], "step": COLOURS["step"], "std": COLOURS["std"]}
    colours |= {
        writer: WRITER_COLOURS[writer]
        for writer, site in WRITERS.items()
        if f"norm_{site}" in result
    }
    found: list[Artist] = [entry(name, colour) for name, colour in colours.items()]
    shown_groups = _shown(result)
    for group, style in shown_groups if len(shown_groups) > 1 else ():
        found.append(entry(group, linestyle=style))
    return [*found, entry(LARGEST, COLOURS["resid"], linestyle=":")]


@house_style()
def norm_sites(result: xr.Dataset) -> Figure:
    """Norms of every site's vectors over layers.

    Median, quartiles and largest of later tokens, median of first ones.

    Of sites with heads, the mean over heads of each of these.
    """
    sites = [str(name) for name in result if str(name).startswith("norm_") and _axis(result[name])]
    columns = min(COLUMNS, len(sites))
    room = Room(width=2.0, height=1.5, across=0.45, down=0.62)
    sheet = Sheet(-(-len(sites) // columns), columns, room)
    for panel, name in zip(sheet.each(len(sites)), sites, strict=True):
        heads = head_dim(result[name])
        _distribution(panel, result[name].mean(heads) if heads else result[name])
        of_heads = f", mean over {result.sizes[heads]} heads" if heads else ""
        panel.set_title(name.removeprefix("norm_") + of_heads)
    for row in sheet.panels:
        row[0].set_ylabel("Euclidean norm")
    named = sheet.flat[0].get_legend_handles_labels()[0]
    sheet.legend([*named, *swatches(shaded=QUARTILES)])
    return sheet.done("Euclidean norm of a token's vector, by site")


@house_style()
def norm_groups(result: xr.Dataset, site: str) -> Figure:
    """Norms of one site for every group of tokens but the first ones.

    Mean over tokens, quartiles as a band; intervals over clusters as bars, where there are any.
    """
    norms = result[f"norm_{site}"]
    heads = head_dim(norms)
    norms = norms.mean(heads) if heads else norms
    places, name = norms[_axis(norms)].values, f"mean_norm_{site}_interval"
    groups = [str(group) for group in result["group"].values if group != FIRST][:MOST_GROUPS]
    looks, few = group_looks(result["group"].values), len(groups) <= 3
    sheet = Sheet(1, 1, Room(width=5.4, height=2.8, panel_title=False))
    (panel,) = sheet.flat
    for group in groups:
        here, look = norms.sel(group=group), looks[group]
        mean = here.sel(statistic="mean").values
        if few:
            low, high = (here.sel(statistic=f"{end} quartile") for end in ("lower", "upper"))
            band(panel, places, (low, high), look.colour)
        count = int(result["tokens"].sel(group=group))
        line(panel, places, mean, look, f"{shown(group)} ({count} tokens)")
        if name in result and not heads:
            bounds = result[name].sel(group=group).transpose("bound", ...).values
            bars(panel, places, mean, bounds, look.colour)
    log_axis(panel.yaxis)
    layer_axis(panel, _axis(norms))
    panel.set_ylabel(f"Euclidean norm of {site}")
    named = panel.get_legend_handles_labels()[0]
    interval = INTERVAL if name in result and not heads else ""
    sheet.legend([*named, *swatches(interval, QUARTILES if few else "")])
    return sheet.done(f"Norm of {site}, mean over the tokens of each group")


def norm_panel(panel: Axes, result: xr.Dataset) -> None:
    """Norms of the residual stream, without it of the first site, over depths or layers."""
    names = [str(name) for name in result if str(name).startswith("norm_") and _axis(result[name])]
    if not names:
        raise UsageError("no site of this result has layers or depths to draw norms over")
    name = "norm_resid" if "norm_resid" in names else names[0]
    heads = head_dim(result[name])
    _distribution(panel, result[name].mean(heads) if heads else result[name])
    panel.set_ylabel(f"norm of a token's {name.removeprefix('norm_')}")
    legend_in(panel, swatches(shaded=QUARTILES))


def _distribution(panel: Axes, norms: xr.DataArray) -> None:
    """Draw median, quartiles and largest of later tokens, and the median of first ones."""
    places, colour = norms[_axis(norms)].values, COLOURS["resid"]
    for group, style in _shown(norms):
        here = norms.sel(group=group)
        median = here.sel(statistic="median")
        line(panel, places, median, Look(colour, style), f"median, {group}")
        if style == "-":
            low, high = (here.sel(statistic=f"{end} quartile") for end in ("lower", "upper"))
            band(panel, places, (low, high), colour)
            largest = here.sel(statistic="largest")
            panel.plot(places, largest, color=colour, linestyle=":", label=f"{LARGEST}, {group}")
    log_axis(panel.yaxis)
    layer_axis(panel, _axis(norms))


def _written(panel: Axes, result: xr.Dataset) -> None:
    panel.set_title("Norm of what a layer writes (median)")
    stored = {
        writer: f"norm_{site}" for writer, site in WRITERS.items() if f"norm_{site}" in result
    }
    if not stored:
        _say(panel, NOT_STORED)
        return
    for writer, name in stored.items():
        norms = result[name].sel(statistic="median")
        for group, style in _shown(result):
            here = norms.sel(group=group)
            line(panel, norms["layer"], here, Look(WRITER_COLOURS[writer], style))
    log_axis(panel.yaxis)
    panel.set_ylabel("Euclidean norm")
    layer_axis(panel, "layer")


def _shares(panel: Axes, result: xr.Dataset, why_not: str) -> None:
    panel.set_title("Share of a layer's output that it has just written")
    if "share" not in result:
        _say(panel, f"none: {why_not}" if why_not else NOT_STORED)
        return
    zero_line(panel)
    for writer in map(str, result["share"]["writer"].values):
        for group, style in _shown(result):
            share = result["share"].sel(writer=writer, group=group)
            line(panel, share["layer"], share, Look(WRITER_COLOURS[writer], style))
    panel.set_ylabel("share, by projection")
    layer_axis(panel, "layer")


def _shown(result: xr.Dataset | xr.DataArray) -> list[tuple[str, str]]:
    """Return the groups that are drawn, with the style of their lines."""
    first = [(FIRST, "--")] if FIRST in result["group"].values else []
    return [(whole_group(result), "-"), *first]


def _say(panel: Axes, why: str) -> None:
    """Say in the place of a panel why it is empty."""
    panel.text(0.5, 0.5, why, ha="center", va="center", transform=panel.transAxes)
    panel.set_axis_off()


def _axis(norms: xr.DataArray) -> str:
    """Return the dim that stands for the place in the model, '' where there is one place only."""
    return next((dim for dim in ("layer", "depth") if dim in norms.dims), "")
