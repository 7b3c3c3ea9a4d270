"""What cosines between features say, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.phrases import group_name, holds_value, measured, number, places
from actlas.analysis.declaring.shown import Caption

HEADLINE = "overall_abs"


def headline(result: xr.Dataset) -> str:
    """Return how far the features of a word move together, first and last, beside its control."""
    layers, groups = result["layer"].values, [str(name) for name in result["group"].values]
    one, other = groups[0], groups[1] if len(groups) > 1 else ""
    if "contrast" in result.dims:
        one, _, other = str(result["contrast"].values[0]).partition(":")
    parts = []
    for layer in dict.fromkeys((int(layers[0]), int(layers[-1]))):
        part = f"{measured(result, HEADLINE, group=one, layer=layer)} in layer {layer}"
        if other:
            beside = number(result[HEADLINE].sel(group=other, layer=layer))
            part += f" ({group_name(result, other)}: {beside})"
        parts.append(part)
    how = _direction(result, one) if len(parts) > 1 else "is"
    chance = float(result["chance"].sel(group=one))
    ends = " to ".join(parts) if how in ("falls from", "rises from") else " and ".join(parts)
    return (
        f"mean |cosine| between features of Q, K and V over the contexts of "
        f"{group_name(result, one)} {how} {ends}; unrelated features would have {number(chance)}"
    )


def _direction(result: xr.Dataset, group: str) -> str:
    """Say whether it falls or rises, where the intervals of both ends are apart."""
    bounds = result.get(f"{HEADLINE}_interval")
    if bounds is None:
        return "is"
    first, last = (bounds.sel(group=group).isel(layer=at) for at in (0, -1))
    if float(last.sel(bound="upper")) < float(first.sel(bound="lower")):
        return "falls from"
    return (
        "rises from" if float(last.sel(bound="lower")) > float(first.sel(bound="upper")) else "is"
    )


def ends(result: xr.Dataset) -> str:
    """Say how the mean |cosine| goes from the first layer to the last, by group."""
    means, layers = result[HEADLINE].isel(layer=[0, -1]), result["layer"].values
    parts = []
    for group in means["group"].values:
        first, last = means.sel(group=group).values
        parts.append(f"{group} {first:.3f} to {last:.3f}")
    return (
        "mean |cosine| of the six pairs of projections from layer "
        f"{layers[0]} to {layers[-1]}: {', '.join(parts)}"
    )


def chance_line(result: xr.Dataset) -> str:
    """Say what unrelated features would have."""
    levels = []
    for group in result["group"].values:
        at = result.sel(group=group)
        levels.append(f"{group} {float(at['chance']):.3f} ({int(at['group_clusters'])} clusters)")
    return f"by chance, unrelated features would have a mean |cosine| of {', '.join(levels)}"


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: where features move together, and where no more."""
    highest = " ".join(_highest(result, str(group)) for group in result["group"].values)
    near = " ".join(_near_one(result, str(group)) for group in result["group"].values)
    return {
        "": Caption(
            "Histograms of the cosines at a few layers",
            f"Near ±1 features move together; near 0 each has its own say. {near}",
        ),
        "heatmap": Caption(
            "The same histograms as layer × bin",
            f"Bright edges are pairs of features that move together; of two groups, blue is where "
            f"the first has more pairs. {near}",
        ),
        "profile": Caption(
            "Mean |cosine| of each pair of projections over layers",
            "1: features move together; dotted: what unrelated features have by chance with as "
            f"many clusters. {highest}{_not_apart(result)}",
        ),
        "matrix": Caption(
            f"All cosines of layer {int(result['layer'].values[-1])}",
            "Each point is a pair of features, alike ones of a head side by side; stripes are "
            "features alike to a whole head. "
            f"{highest}",
        ),
    }


def _highest(result: xr.Dataset, group: str) -> str:
    values = result[HEADLINE].sel(group=group)
    if not bool(values.notnull().any()):
        return f"{_begun(group_name(result, group))} has no cosines."
    top, low = (values.isel(layer=place) for place in _extremes(values))
    return (
        f"{_begun(group_name(result, group))}, mean of the six pairs: highest in layer "
        f"{int(top['layer'])} ({float(top):.2f}), lowest in layer {int(low['layer'])} "
        f"({float(low):.2f})."
    )


def _extremes(values: xr.DataArray) -> tuple[int, int]:
    """Return the places of the largest and the smallest number."""
    numbers = values.values
    return int(np.nanargmax(numbers)), int(np.nanargmin(numbers))


def _near_one(result: xr.Dataset, group: str) -> str:
    shares = result["share_above_0.9"].sel(group=group).mean("projection_pair")
    first, last = (shares.isel(layer=at) for at in (0, -1))
    return (
        f"{_begun(group_name(result, group))}: {float(first):.0%} of pairs are above 0.9 in layer "
        f"{int(first['layer'])}, {float(last):.0%} in layer {int(last['layer'])}."
    )


def _not_apart(result: xr.Dataset) -> str:
    """Name the layers in which the first contrast is not told apart, of most pairs."""
    bounds = result.get("mean_abs_contrast_interval")
    if bounds is None:
        return ""
    first = bounds.isel(contrast=0)
    included = []
    for layer in result["layer"].values:
        at = first.sel(layer=layer)
        within = [holds_value(at.sel(projection_pair=p)) for p in at["projection_pair"].values]
        if np.mean([each is True for each in within]) >= 0.5:
            included.append(int(layer))
    one, other = (group_name(result, n) for n in str(first["contrast"].values).split(":", 1))
    if not included:
        return f" {_begun(one)} and {other} differ in every layer, in most pairs of projections."
    return f" {_begun(one)} and {other} are not told apart in {places(included)}."


def _begun(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
