"""How large activations are and who writes the stream, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.data.group_names import FIRST
from actlas.analysis.declaring.group_tables import whole_group
from actlas.analysis.declaring.laws import ADD, PARALLEL, POST
from actlas.analysis.declaring.phrases import number
from actlas.analysis.declaring.shown import Caption
from actlas.analysis.norms.per_token import RMS, per_token

#: what a step of the stream is, by law
STEPS = {
    ADD: "A step is what attention adds, and then the MLP, which reads the sum. ",
    PARALLEL: "A step is what attention and MLP add, which read the same input. ",
    POST: "A step is all that a block changes, the LayerNorms behind its two sums included; "
    "nothing therefore has a share of the stream. ",
}


def headline(result: xr.Dataset) -> str:
    """Return how the residual stream grows; without it, which site is largest."""
    if "norm_resid" not in result:
        return _largest_site(result)
    whole = whole_group(result)
    medians = result["norm_resid"].sel(statistic="median")
    of_whole, depths = medians.sel(group=whole), medians["depth"].values
    first, last = float(of_whole[0]), float(of_whole[-1])
    norms = f"{number(first)} at depth {depths[0]}, {number(last)} at depth {depths[-1]} ({whole})"
    line = f"median norm of the residual stream: {norms}"
    if 0 < first < last:
        line = f"the residual stream grows {number(last / first)}-fold: median norm {norms}"
    elif 0 < last < first:
        line = f"the residual stream shrinks to {last / first:.0%}: median norm {norms}"
    if FIRST in medians["group"].values:
        times = medians.sel(group=FIRST) / of_whole
        if bool(times.notnull().any()):
            most = times.isel(depth=int(times.fillna(-1).values.argmax()))
            line += (
                f"; first tokens are up to {number(most)} times as large as later ones "
                f"(depth {int(most['depth'])})"
            )
    return line


def steepest(result: xr.Dataset) -> list[str]:
    """Say which layer moves the stream most, of all tokens."""
    if "step" not in result:
        return []
    step = per_token(result, "step").sel(group=whole_group(result))
    if not bool(step.notnull().any()):
        return []
    most = step.isel(depth=int(step.fillna(-1).values.argmax()))
    return [
        f"layer {int(most['depth']) - 1} moves the stream most: a step of {number(most)} a token "
        f"({RMS})"
    ]


def writers(result: xr.Dataset) -> list[str]:
    """Say which share of a layer's output each writer puts there at most, and where below 0."""
    if "share" not in result:
        return []
    found, of_whole = [], result["share"].sel(group=whole_group(result))
    for writer in of_whole["writer"].values:
        share = of_whole.sel(writer=writer)
        if not bool(share.notnull().any()):
            continue
        most = share.isel(layer=int(share.fillna(-9).values.argmax()))
        last = share.isel(layer=-1)
        found.append(
            f"{writer} writes {float(most):.0%} of the output of layer {int(most['layer'])}, its "
            f"most, and {float(last):.0%} of that of layer {int(last['layer'])}, the last"
        )
    return found


def sites_line(result: xr.Dataset) -> str:
    """Say which sites were measured."""
    sites = _sites(result)
    return f"{len(sites)} site{'s' if len(sites) > 1 else ''}: {' '.join(sites)}"


def captions(result: xr.Dataset, law: str) -> dict[str, Caption]:
    """Return the captions by kind of figure: how the stream goes, which site and group is large."""
    has_shares = "share" in result
    title = "The residual stream: norms, what is written into it, steps" + (
        " and shares" if has_shares else ""
    )
    lines = [headline(result), *steepest(result), *writers(result)]
    below = "Below zero a writer takes away what was there. " if has_shares else ""
    return {
        "": Caption(title, STEPS.get(law, "") + below + _joined(lines)),
        "sites": Caption(
            "Norm of a token's vector at every site", _joined([_largest_site(result)])
        ),
        "groups": Caption("Norms by group of tokens", _joined(_groups(result))),
    }


def _joined(lines: list[str]) -> str:
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def _sites(result: xr.Dataset) -> list[str]:
    return [str(name)[5:] for name in result if str(name).startswith("norm_")]


def _largest_site(result: xr.Dataset) -> str:
    """Say whose largest value leaves its median farthest behind, of all tokens."""
    whole, best = whole_group(result), (-1.0, "")
    for site in _sites(result):
        norms = result[f"norm_{site}"].sel(group=whole)
        places = [dim for dim in norms.dims if dim != "statistic"]
        at = norms.stack(at=places) if places else norms.expand_dims("at")
        medians, tops = (at.sel(statistic=name) for name in ("median", "largest"))
        times = (tops / medians.where(medians > 0)).transpose("at")
        if not bool(times.notnull().any()):
            continue
        most = times.isel(at=int(times.fillna(-1).values.argmax()))
        where = next(
            (f" {dim} {int(most[dim])}" for dim in ("layer", "depth") if dim in places), ""
        )
        text = (
            f"farthest above its median is a token in {site}{' at' if where else ''}{where}: "
            f"{number(most)} times"
        )
        best = max(best, (float(most), text))
    return best[1] or "no norms: no token was measured"


def _groups(result: xr.Dataset) -> list[str]:
    """Say of the first site of many places which group is largest at the last."""
    for site in _sites(result):
        norms = result[f"norm_{site}"].sel(statistic="median")
        place = next((dim for dim in ("layer", "depth") if dim in norms.dims), None)
        if place is None:
            continue
        last = norms.isel({place: -1})
        last = last.mean([dim for dim in last.dims if dim != "group"])
        if not bool(last.notnull().any()):
            continue
        top, low = (last.isel(group=int(at)) for at in (np.nanargmax(last), np.nanargmin(last)))
        return [
            f"in {site} at {place} {int(norms[place][-1])}, {top['group'].values} has the largest "
            f"median norm ({number(top)}), {low['group'].values} the smallest ({number(low)})"
        ]
    return ["each group has a line"]
