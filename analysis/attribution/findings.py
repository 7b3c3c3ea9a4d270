"""Who writes an answer, in a sentence, and what figures show."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.attribution.neuron_tables import neuron_sentences
from actlas.analysis.attribution.tables import ranked_heads
from actlas.analysis.declaring.phrases import holds_value, interval, measured
from actlas.analysis.declaring.shown import Caption


def headline(result: xr.Dataset) -> list[str]:
    """Return which part adds most to the logit difference, of the first group that is asked."""
    if not bool((result["tokens"] > 0).any()):
        return []
    group = first_asked(result)
    (part, layer, value), *others = ranked_parts(result, group)
    bounds = result.get("mean_attribution_interval")
    here = None if bounds is None else bounds.sel(group=group, part=part, layer=layer)
    whole = measured(result, "mean_difference", "+.3g", group=group)
    of = f"of {group}, " if result.sizes["group"] > 1 else ""
    agrees = value * float(result["mean_difference"].sel(group=group)) >= 0
    verb = "writes most of" if agrees else "works most against"
    line = (
        f"{of}{part} of layer {layer} {verb} {asked_for(result)}: "
        f"{value:+.3g}{interval(here, '+.3g')} of {whole}"
    )
    if holds_value(here):
        line += ", not told from 0"
    if others:
        part, layer, value = others[0]
        line += f"; then {part} of layer {layer}, {value:+.3g}"
    return [line]


def asked_for(result: xr.Dataset) -> str:
    """Return what is asked as a sentence has it: a logit, or the difference of two."""
    asked = str(result.attrs["asked"])
    return f"the logit difference ({asked})" if " − " in asked else f"the logit of {asked}"


def ranked_parts(result: xr.Dataset, group: str) -> list[tuple[str, int, float]]:
    """Return part, layer and mean of all parts, the largest first whatever its sign."""
    means = result["mean_attribution"].sel(group=group)
    found = []
    for part in means["part"].values:
        for layer in means["layer"].values:
            found.append((str(part), int(layer), float(means.sel(part=part, layer=layer))))
    return sorted(found, key=lambda each: -abs(np.nan_to_num(each[2])))


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: which parts and heads stand out, and against."""
    if not bool((result["tokens"] > 0).any()):
        nothing = "No token of the groups is asked."
        titles = {"": "What each layer adds", "heads": "Heads", "neurons": "Neurons"}
        return {kind: Caption(title, nothing) for kind, title in titles.items()}
    group = first_asked(result)
    parts = ranked_parts(result, group)
    total = sum(abs(np.nan_to_num(value)) for _, _, value in parts)
    first = [f"{part} {layer} ({value:+.3g})" for part, layer, value in parts[:3]]
    share = sum(abs(np.nan_to_num(value)) for _, _, value in parts[:3]) / total if total else 0.0
    against = [f"{part} {layer} ({value:+.3g})" for part, layer, value in parts if value < 0][:1]
    note = (
        "Above 0 a part writes the answer, below 0 against it; lines are 95 % intervals over "
        f"clusters. Largest: {', '.join(first)}, together {share:.0%} of all by size."
    )
    note += f" Most against it: {against[0]}." if against else " None writes against it."
    found = {"": Caption("What attention and MLP of each layer add to the logit difference", note)}
    if "mean_head" in result:
        heads = ranked_heads(result, group)[:3]
        named = ", ".join(f"L{layer}H{head} ({value:+.3g})" for layer, head, value in heads)
        found["heads"] = Caption(
            "What each head adds",
            f"Largest: {named}. What a head adds is not what its removal takes away.",
        )
    if "mean_neuron" in result:
        lines = " ".join(f"{line[0].upper()}{line[1:]}." for line in neuron_sentences(result))
        found["neurons"] = Caption(
            "What single MLP neurons add",
            f"The neurons that add most, with 95 % intervals over clusters. {lines}",
        )
    return found
