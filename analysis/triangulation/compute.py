"""Attribution, ablation and attention of heads side by side; pure and lazy.

They answer different questions: a head can add much and be replaced by others when it is removed
(backup heads, Wang et al. 2022), or add nothing itself and be read by others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from actlas.analysis.attribution.compute import Answers, attribution, logit_differences
from actlas.analysis.attribution.means import cluster_means
from actlas.analysis.heads.compute import head_scores
from actlas.store.readouts.readout import HeadReadout, Readout

KINDS = ("previous", "first", "duplicate", "induction")  # scores that stand beside


def triangulation(
    dataset: xr.Dataset,
    variants: Mapping[tuple[int, int], xr.Dataset],
    readout: Readout,
    heads: HeadReadout,
    answers: Answers,
    seed: int = 0,
) -> xr.Dataset:
    """Return ``attribution``, ``ablation`` (layer, head) and ``excess`` (kind, layer, head).

    dataset: ``resid``, ``attn_out``, ``mlp_out``, ``z``, ``pattern``. variants: (layer, head) →
    ``resid`` of the run in which that head is zeroed. ``ablation`` is the mean logit difference
    without the edit less that with it: what the head was worth; NaN for heads that no variant
    removes. ``…_bounds`` (bound, layer, head) are 95 % bands over sentences.
    """
    own = attribution(dataset, readout, answers, heads)
    clusters = own["sentence"].values
    means = cluster_means(own["head_attribution"], clusters, seed)
    scores = head_scores(dataset)["excess"].sel(kind=list(KINDS))
    without = [logit_differences(each, readout, answers) for each in variants.values()]
    difference = own["logit_difference"]
    difference = difference.drop_vars(list(difference.coords))
    costs = difference - xr.concat(without, "removed")
    removed = cluster_means(costs.transpose("removed", "token"), clusters, seed)
    layers, count = own.sizes["layer"], own.sizes["head"]
    chosen = np.zeros((len(variants), layers, count))
    for number, place in enumerate(variants):
        chosen[(number, *place)] = 1
    places = xr.DataArray(chosen, dims=("removed", "layer", "head"))
    known = places.sum("removed") > 0
    ablation, bounds = (
        (removed[name] * places).sum("removed").where(known) for name in ("mean", "bounds")
    )
    result = xr.Dataset(
        {
            "attribution": means["mean"].transpose("layer", "head"),
            "attribution_bounds": means["bounds"],
            "ablation": ablation.transpose("layer", "head"),
            "ablation_bounds": bounds.transpose("bound", "layer", "head"),
            "excess": scores.drop_vars("layer", errors="ignore"),
            "logit_difference": own["logit_difference"].mean("token"),
        }
    )
    return result.assign_coords(layer=np.arange(layers))
