"""Whether attribution and ablation name the same heads, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.attribution.findings import asked_for
from actlas.analysis.declaring.phrases import holds_value, interval
from actlas.analysis.declaring.shown import Caption

VERBS = (("attribution", "adds"), ("ablation", "costs"))


def headline(result: xr.Dataset) -> list[str]:
    """Return the heads that each look puts first, of the first group that is asked."""
    if not bool((result["tokens"] > 0).any()):
        return []
    group, several = first_asked(result), result.sizes["group"] > 1
    here = result.sel(group=group)
    adds, costs = (first_head(here, name) for name, _ in VERBS)
    of = f"of {group}, " if several else ""
    if adds == costs:
        return [
            f"{of}{_name(result, adds)} both adds most to {asked_for(result)}: "
            f"{_value(here, 'attribution', adds)}, and costs most when it is removed "
            f"({_value(here, 'ablation', costs)})"
        ]
    return [
        f"{of}{_name(result, adds)} adds most to {asked_for(result)}: "
        f"{_value(here, 'attribution', adds)} (removing it costs "
        f"{_value(here, 'ablation', adds)}); but removing {_name(result, costs)} costs most "
        f"({_value(here, 'ablation', costs)})"
    ]


def looks(result: xr.Dataset) -> list[str]:
    """Return the sentences of one group."""
    if not int(result["tokens"]):
        return ["none of its tokens is asked"]
    difference, tokens = float(result["logit_difference"]), int(result["tokens"])
    found = [f"{result.attrs['asked']}: {difference:+.3g} on average at {tokens} tokens"]
    firsts = []
    for name, verb in VERBS:
        firsts.append(first_head(result, name))
        layer, head = firsts[-1]
        value = float(result[name].isel(layer=layer, head=head))
        found.append(f"L{layer}H{head} {verb} most: {value:+.3g}")
    agree = "name the same head" if firsts[0] == firsts[1] else "name different heads"
    return [*found, f"attribution and ablation {agree}"]


def caption(result: xr.Dataset) -> Caption:
    """Return the caption: how many heads lie far from the line, and which most."""
    note = "On the line both agree. Above it, others read what the head writes; below, others take "
    note += "its place."
    if bool((result["tokens"] > 0).any()):
        here = result.sel(group=first_asked(result))
        off = (here["ablation"] - here["attribution"]).transpose("layer", "head")
        if bool(off.notnull().any()):
            layer, head = divmod(int(abs(off).fillna(-1).values.argmax()), off.sizes["head"])
            value = float(off.isel(layer=layer, head=head))
            where = "above" if value > 0 else "below"
            note += f" Farthest: {_name(result, (layer, head))}, {abs(value):.3g} {where} it."
    return Caption("What a head adds against what its removal costs", note)


def first_head(result: xr.Dataset, name: str) -> tuple[int, int]:
    """Return the place of the head whose number is largest, whatever its sign."""
    values = np.nan_to_num(np.abs(result[name].transpose("layer", "head").values), nan=-1)
    layer, head = divmod(int(values.argmax()), values.shape[1])
    return layer, head


def _value(result: xr.Dataset, name: str, place: tuple[int, int]) -> str:
    where = {"layer": place[0], "head": place[1]}
    bounds = result.get(f"{name}_interval")
    here = None if bounds is None else bounds.isel(where)
    unsure = ", not told from 0" if holds_value(here) else ""
    value = float(result[name].isel(where))
    number = "not removed" if np.isnan(value) else f"{value:+.3g}"
    return f"{number}{interval(here, '+.3g')}{unsure}"


def _name(result: xr.Dataset, place: tuple[int, int]) -> str:
    return f"L{int(result['layer'].values[place[0]])}H{place[1]}"
