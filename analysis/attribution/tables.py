"""What an attribution shows in words: tables, findings, how far its sums are from what they are of.

All of computed results of the study.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.declaring.shown import Cell, Table, cell

NAMED = 3  # heads and parts that a finding lists
MOST_HEADS = 10  # of a table


def sum_error(result: xr.Dataset) -> float:
    """Return how far the sum of the parts is from the logit difference, relative above 1."""
    total, difference = result["total"].values, result["logit_difference"].values
    return float((np.abs(total - difference) / np.maximum(1, np.abs(difference))).max())


def head_error(result: xr.Dataset) -> float:
    """Return how far the sum of heads is from the part of attention, edited layers left out."""
    total = (result["head_attribution"].sum("head") + result["head_bias"]).values
    attention = result["attribution"].sel(part="attention").values
    kept = ~np.isin(result["layer"].values, list(result.attrs.get("edited", [])))
    errors = np.abs(total - attention)[kept] / np.maximum(1, np.abs(attention[kept]))
    return float(errors.max(initial=0.0))


def layer_table(result: xr.Dataset) -> Table:
    """Return what each part adds, a row a layer and group."""
    parts = [str(part) for part in result["part"].values]
    columns = [(part, result["mean_attribution"].sel(part=part)) for part in parts]
    if "change_attribution" in result:
        for part in map(str, result["changed_part"].values):
            change = result["change_attribution"].sel(changed_part=part)
            columns.append((f"change of {part}", change))
    rows = []
    for layer in result["layer"].values:
        for group in result["group"].values:
            here = [values.sel(layer=layer, group=group) for _, values in columns]
            names = _named(result, str(group))
            rows.append((cell(layer, "d"), *names, *(cell(each, "+.3f") for each in here)))
    header = ("layer", *_header(result), *(name for name, _ in columns))
    return Table.of("What each layer adds to the logit difference", header, rows)


def _header(result: xr.Dataset) -> tuple[str, ...]:
    """Return the column of groups, where there are several."""
    return ("tokens",) if result.sizes["group"] > 1 else ()


def _named(result: xr.Dataset, group: str) -> tuple[Cell, ...]:
    return (cell(group),) if result.sizes["group"] > 1 else ()


def ranked_heads(result: xr.Dataset, group: str) -> list[tuple[int, int, float]]:
    """Return layer, head and mean of all heads, the largest first whatever its sign."""
    means = result["mean_head"].sel(group=group).transpose("layer", "head").values
    heads = [(layer, head) for layer in range(len(means)) for head in range(means.shape[1])]
    ranked = sorted(heads, key=lambda place: -abs(np.nan_to_num(means[place])))
    layers = result["layer"].values
    return [(int(layers[layer]), head, float(means[layer, head])) for layer, head in ranked]


def head_table(result: xr.Dataset) -> Table:
    """Return the heads that add most in each group."""
    rows, bounded = [], "mean_head_interval" in result
    for group in map(str, result["group"].values[result["tokens"].values > 0]):
        for layer, head, mean in ranked_heads(result, group)[:MOST_HEADS]:
            numbers = [cell(mean, "+.3f")]
            if bounded:
                bounds = result["mean_head_interval"].sel(group=group, layer=layer).isel(head=head)
                for end in ("lower", "upper"):
                    numbers.append(cell(bounds.sel(bound=end), "+.3f"))
            rows.append((cell(f"L{layer}H{head}"), *_named(result, group), *numbers))
    ends = ("from", "to") if bounded else ()
    caption = f"Heads that add most{', with 95 % intervals' if bounded else ''}"
    return Table.of(caption, ("head", *_header(result), "mean", *ends), rows)


def sentences(result: xr.Dataset) -> list[str]:
    """Say how large the difference is, who adds most, and how far the sum is from it."""
    asked, found = result.attrs["asked"], []
    for group in map(str, result["group"].values):
        here = result.sel(group=group)
        if not int(here["tokens"]):
            found.append(f"{group}: none of its tokens is asked")
            continue
        line = f"{asked}: {float(here['mean_difference']):+.3g} on average"
        if "mean_difference_interval" in result:
            bounds = here["mean_difference_interval"]
            low, high = (float(bounds.sel(bound=end)) for end in ("lower", "upper"))
            line += f" [{low:+.3g}, {high:+.3g}]"
        line += f" at {int(here['tokens'])} tokens of {int(here['sentences'])} sentences"
        found.append(line if result.sizes["group"] == 1 else f"{group}: {line}")
        if "change_difference" in result:
            change = float(here["change_difference"])
            found.append(f"that is {change:+.3g} from what it is without the edits")
    found += _largest(result)
    if result.attrs.get("capped"):
        found.append("the model bounds its logits: what is taken apart is the logit before that")
    found.append(f"the parts add up to the logit difference to {sum_error(result):.1e}")
    return found


def _largest(result: xr.Dataset) -> list[str]:
    """Name the parts and heads that add most, in the first group."""
    first = first_asked(result)
    parts = result["mean_attribution"].sel(group=first).transpose("part", "layer")
    names = [
        (f"{part} {int(layer)}", float(parts.sel(part=part, layer=layer)))
        for part in parts["part"].values
        for layer in parts["layer"].values
    ]
    ranked = sorted(names, key=lambda each: -abs(np.nan_to_num(each[1])))[:NAMED]
    of = f"of {first}, " if result.sizes["group"] > 1 else ""
    found = [f"{of}most is added by " + ", ".join(f"{name} ({v:+.3g})" for name, v in ranked)]
    if "mean_head" in result:
        heads = ranked_heads(result, first)[:NAMED]
        texts = [f"L{layer}H{head} ({v:+.3g})" for layer, head, v in heads]
        found.append(f"{of}of single heads {texts[0]} adds most, then {', '.join(texts[1:])}")
    return found
