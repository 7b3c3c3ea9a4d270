"""The figure of triangulation: attribution against ablation, a point a head."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from actlas.analysis.plots.style import SERIES_COLOURS

NAMED = 6  # heads that are named beside their points


def attribution_against_ablation(result: xr.Dataset) -> Figure:
    """What each removed head adds, against what its removal costs.

    result: of ``actlas.analysis.triangulation.compute.triangulation``, computed.
    """
    adds = result["attribution"].transpose("layer", "head").values
    costs = result["ablation"].transpose("layer", "head").values
    figure = Figure(figsize=(5.4, 5.0), layout="constrained")
    panel = figure.subplots()
    known = np.isfinite(costs)
    panel.scatter(adds[known], costs[known], s=18, color=SERIES_COLOURS[0])
    ends = np.array(
        [min(adds[known].min(), costs[known].min()), max(adds[known].max(), costs[known].max())]
    )
    panel.plot(ends, ends, color="0.6", linewidth=0.8)
    size = np.where(known, np.maximum(np.abs(adds), np.abs(np.nan_to_num(costs))), -1)
    for place in np.argsort(-size, axis=None)[:NAMED].tolist():
        layer, head = divmod(place, adds.shape[1])
        if known[layer, head]:
            at = (adds[layer, head], costs[layer, head])
            panel.annotate(
                f"L{layer}H{head}", at, fontsize=8, xytext=(4, 3), textcoords="offset points"
            )
    panel.set_xlabel("adds to the logit difference (attribution)")
    panel.set_ylabel("its removal costs (ablation)")
    figure.suptitle("Heads: what they add, what they cost", fontsize=11)
    return figure
