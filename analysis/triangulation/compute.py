"""Attribution, ablation and attention of heads side by side; pure and lazy.

They answer different questions: a head can add much and be replaced by others when it is removed
(backup heads, Wang et al. 2022), or add nothing itself and be read by others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from actlas.analysis.attribution.by_group import with_counts
from actlas.analysis.attribution.compute import Answers, attribution, logit_differences
from actlas.analysis.groups.means import with_means
from actlas.analysis.groups.resampling import Resampling
from actlas.analysis.groups.token_groups import TokenGroups
from actlas.analysis.heads.compute import head_scores
from actlas.store.readouts.readout import HeadReadout, Readout

KINDS = ("previous", "first", "duplicate", "induction")  # scores that stand beside


def triangulation(
    dataset: xr.Dataset,
    variants: Mapping[tuple[int, int], xr.Dataset],
    readouts: tuple[Readout, HeadReadout],
    answers: Answers,
    groups: TokenGroups,
    drawn: Resampling | None = None,
) -> xr.Dataset:
    """Return ``attribution``, ``ablation`` (group, layer, head), ``excess`` (kind, layer, head).

    dataset: ``resid``, ``attn_out``, ``mlp_out``, ``z``, ``pattern``. variants: (layer, head) →
    ``resid`` of the run in which that head is zeroed. groups: of the tokens of ``answers`` alone.
    ``ablation`` is the mean logit difference without the edit less that with it: what the head was
    worth; NaN for heads that no variant removes. drawn: clusters that are drawn again for
    ``…_interval`` (bound, group, …). ``logit_difference``, ``tokens``, ``sentences`` are by group,
    ``excess`` is of all queries.
    """
    readout, heads = readouts
    own = attribution(dataset, readout, answers, heads)
    added, difference = (
        own[name].drop_vars(list(own[name].coords))
        for name in ("head_attribution", "logit_difference")
    )
    without = [logit_differences(each, readout, answers) for each in variants.values()]
    costs = (difference - xr.concat(without, "removed")).transpose("removed", "token")
    layers, count = own.sizes["layer"], own.sizes["head"]
    number = xr.DataArray(np.full((layers, count), -1), dims=("layer", "head"))
    for at, place in enumerate(variants):
        number[place] = at
    by_head = costs.isel(removed=number).where(number >= 0)
    averaged = {
        "attribution": added.transpose("layer", "head", "token"),
        "ablation": by_head.transpose("layer", "head", "token"),
        "logit_difference": difference,
    }
    scores = head_scores(dataset)["excess"].sel(kind=list(KINDS))
    result = xr.Dataset({"excess": scores.drop_vars("layer", errors="ignore")})
    result = result.assign_coords(layer=np.arange(layers))
    for name, values in averaged.items():
        result = with_means(result, name, values, groups, answers.tokens, drawn)
    return with_counts(result, groups)
