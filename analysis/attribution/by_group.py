"""Attribution by group of tokens: means over those that are asked, and how edits change them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.groups.means import means_by_group, with_means
from actlas.analysis.groups.resampling import Resampling
from actlas.analysis.groups.token_groups import TokenGroups

#: what results call the means → the numbers of tokens
AVERAGED = {
    "difference": "logit_difference",
    "attribution": "attribution",
    "head": "head_attribution",
    "neuron": "neuron_attribution",
}


def with_group_means(
    result: xr.Dataset, groups: TokenGroups, drawn: Resampling | None
) -> xr.Dataset:
    """Return ``result`` with means over the tokens of each group that are asked; lazy.

    result: of ``attribution``. groups: of its tokens alone. drawn: clusters that are drawn again
    for ``…_interval``. Adds ``mean_difference`` (group), ``mean_attribution`` (group, part, layer),
    ``mean_head`` (group, layer, head) where heads are told apart, ``mean_neuron``
    (group, layer, choice) where neurons are, ``mean_embedding`` and
    ``mean_bias`` (group); ``tokens`` and ``sentences`` (group): how many are asked.
    """
    tokens = result["index"].values
    for name, variable in AVERAGED.items():
        if variable in result:
            values = result[variable]
            result = with_means(result, f"mean_{name}", values, groups, tokens, drawn)
    for name in ("embedding", "bias"):
        result[f"mean_{name}"] = means_by_group(result[name], groups, tokens)
    return with_counts(result, groups)


def with_counts(result: xr.Dataset, groups: TokenGroups) -> xr.Dataset:
    """Return ``result`` with ``tokens`` and ``sentences`` (group) of groups of those asked."""
    counts = {
        "tokens": [len(each) for each in groups.values()],
        "sentences": [len(np.unique(each.sentence)) for each in groups.members.values()],
    }
    variables = {name: ("group", np.array(each)) for name, each in counts.items()}
    for name in variables:
        result[name] = xr.Variable(*variables[name], {"long_name": f"{name} that are asked"})
    return result


def first_asked(result: xr.Dataset) -> str:
    """Return the first group of which any token is asked."""
    asked = result["tokens"].values > 0
    return str(result["group"].values[int(asked.argmax())])


def with_changes(result: xr.Dataset, before: xr.Dataset, groups: TokenGroups) -> xr.Dataset:
    """Return ``result`` with ``change_<name>``, the mean change from ``before`` by group.

    before: of ``attribution``, of the run without the edits, at the same tokens.
    """
    tokens = result["index"].values
    for name, variable in AVERAGED.items():
        if variable in result:
            after = result[variable]
            if name == "attribution":
                after = after.sel(part=before["part"].values)
            change = means_by_group(after - before[variable], groups, tokens)
            result[f"change_{name}"] = (
                change.rename(part="changed_part") if name == "attribution" else change
            )
    return result
