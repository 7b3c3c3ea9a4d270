"""What an attribution shows in words: tables, findings, how far its sums are from what they are of.

All of computed results of the study.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.shown import Table, cell

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
    """Return what each part adds, a row a layer."""
    parts = [str(part) for part in result["part"].values]
    columns = [(part, result["mean_attribution"].sel(part=part)) for part in parts]
    if "change_attribution" in result:
        for part in parts[:2]:
            columns.append((f"change of {part}", result["change_attribution"].sel(part=part)))
    rows = []
    for layer in result["layer"].values:
        numbers = (cell(values.sel(layer=layer), "+.3f") for _, values in columns)
        rows.append((cell(layer, "d"), *numbers))
    header = ("layer", *(name for name, _ in columns))
    return Table.of("What each layer adds to the logit difference", header, rows)


def ranked_heads(result: xr.Dataset) -> list[tuple[int, int, float]]:
    """Return layer, head and mean of all heads, the largest first whatever its sign."""
    means = result["mean_head"].transpose("layer", "head").values
    heads = [(layer, head) for layer in range(len(means)) for head in range(means.shape[1])]
    ranked = sorted(heads, key=lambda place: -abs(means[place]))
    layers = result["layer"].values
    return [(int(layers[layer]), head, float(means[layer, head])) for layer, head in ranked]


def head_table(result: xr.Dataset) -> Table:
    """Return the heads that add most."""
    rows = []
    for layer, head, mean in ranked_heads(result)[:MOST_HEADS]:
        bounds = result["head_bounds"].sel(layer=layer).isel(head=head).values
        numbers = (cell(mean, "+.3f"), *(cell(bound, "+.3f") for bound in bounds))
        rows.append((cell(f"L{layer}H{head}"), *numbers))
    return Table.of("Heads that add most, with 95 % bands", ("head", "mean", "from", "to"), rows)


def sentences(result: xr.Dataset) -> list[str]:
    """Say how large the difference is, who adds most, and how far the sum is from it."""
    asked, tokens = result.attrs["asked"], result.attrs["tokens"]
    count = result.attrs["sentences"]
    mean = float(result["mean_difference"])
    low, high = result["difference_bounds"].values
    found = [
        f"{asked}: {mean:+.3g} on average ({low:+.3g} to {high:+.3g}) at {tokens} tokens of "
        f"{count} sentences"
    ]
    if "change_difference" in result:
        found.append(
            f"that is {float(result['change_difference']):+.3g} from what it is without the edits"
        )
    parts = result["mean_attribution"].transpose("part", "layer")
    names = [
        (f"{part} {int(layer)}", float(parts.sel(part=part, layer=layer)))
        for part in parts["part"].values
        for layer in parts["layer"].values
    ]
    ranked = sorted(names, key=lambda each: -abs(each[1]))[:NAMED]
    found.append("most is added by " + ", ".join(f"{name} ({v:+.3g})" for name, v in ranked))
    if "mean_head" in result:
        heads = [f"L{layer}H{head} ({v:+.3g})" for layer, head, v in ranked_heads(result)[:NAMED]]
        found.append(f"of single heads {heads[0]} adds most, then {', '.join(heads[1:])}")
    if result.attrs.get("capped"):
        found.append("the model bounds its logits: what is taken apart is the logit before that")
    found.append(f"the parts add up to the logit difference to {sum_error(result):.1e}")
    return found
