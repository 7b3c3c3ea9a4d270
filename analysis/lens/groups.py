"""The numbers of a lens by group of tokens: means over those that have one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from actlas.analysis.data.sentences import Indices

AVERAGED = ("nll", "kl", "entropy")


def group_means(result: xr.Dataset, groups: Mapping[str, Indices]) -> xr.Dataset:
    """Return ``mean_nll``, ``mean_kl``, ``mean_entropy`` (group, depth), ``tokens`` (group).

    result: of ``lens``. groups: name → indices along the run's ``token``; those that the result
    does not have are left out. Lazy stays lazy.
    """
    places = result["index"].values
    members = {name: np.isin(places, indices) for name, indices in groups.items()}
    members = {name: mask for name, mask in members.items() if mask.any()}
    names = xr.Variable("group", list(members))
    weights = xr.DataArray(np.stack(list(members.values())), dims=("group", "token"))
    found = {}
    for name in AVERAGED:
        if name in result:
            plain = result[name].drop_vars(list(result[name].coords))
            known = (plain.notnull() & weights).sum("token")
            total = plain.where(weights, 0.0).fillna(0.0).sum("token")
            found[f"mean_{name}"] = (total / known.where(known > 0)).transpose("group", "depth")
    found["tokens"] = weights.sum("token")
    return xr.Dataset(found).assign_coords(group=names)
