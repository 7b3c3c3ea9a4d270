"""The numbers of a lens by group of tokens: means over those that have one."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.groups.means import with_means
from actlas.analysis.groups.resampling import Resampling
from actlas.analysis.groups.token_groups import TokenGroups

AVERAGED = ("nll", "kl", "entropy")


def with_group_means(
    result: xr.Dataset, groups: TokenGroups, drawn: Resampling | None
) -> xr.Dataset:
    """Return ``result`` with ``mean_nll``, ``mean_kl``, ``mean_entropy`` (group, depth), in nats.

    result: of ``lens``. groups: of its tokens alone. drawn: clusters that are drawn again for
    ``…_interval``. Adds ``tokens`` (group). Lazy stays lazy.
    """
    tokens = result["index"].values
    for name in AVERAGED:
        if name in result:
            result = with_means(result, f"mean_{name}", result[name], groups, tokens, drawn)
    sizes = np.array([len(each) for each in groups.values()])
    return result.assign(tokens=("group", sizes))
