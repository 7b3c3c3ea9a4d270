"""Sites as studies see them: which are vectors of a token, and where their heads are.

A run whose model has fewer key and value heads than query heads (grouped-query attention) has its
keys and values on ``kv_head`` in place of ``head``. Importing this costs nothing: no xarray.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

#: sites that have a layer or depth, and a vector for each token: for each head where there are any
DEEP_SITES = (
    *("resid", "resid_mid", "q", "k", "v", "q_normed", "k_normed", "q_rot", "k_rot", "z"),
    *("attn_out", "mlp_pre", "mlp_up", "mlp_post", "mlp_out"),
)
VECTOR_SITES = (*DEEP_SITES, "final_norm")
HEAD_DIMS = ("head", "kv_head")


def head_dim(array: xr.DataArray) -> str | None:
    """Return the dim along which the heads of ``array`` lie, None where it has no heads."""
    return next((dim for dim in HEAD_DIMS if dim in array.dims), None)


def feature_dims(projection: xr.DataArray) -> tuple[str, str]:
    """Return the dims of the features of a projection (…, head or kv_head, …, d_head).

    Raises ValueError for an array without heads.
    """
    heads = head_dim(projection)
    if heads is None:
        raise ValueError(
            f"dims are {', '.join(map(str, projection.dims))}, "
            f"expected one of {', '.join(HEAD_DIMS)} among them"
        )
    return heads, "d_head"


def heads_of(dataset: xr.Dataset, sites: tuple[str, ...]) -> dict[str, int]:
    """Return how many heads each of ``sites`` has."""
    return {site: dataset.sizes[feature_dims(dataset[site])[0]] for site in sites}


def heads_in_words(heads: Mapping[str, int]) -> str:
    """Return such as "Q has 8 heads, K and V have 2"; empty where all have as many.

    heads: site → its heads.
    """
    if len(set(heads.values())) < 2:
        return ""
    by_count: dict[int, list[str]] = {}
    for site, count in heads.items():
        by_count.setdefault(count, []).append(site.upper())
    parts: list[str] = []
    for count, sites in by_count.items():
        verb = "has" if len(sites) == 1 else "have"
        unit = "" if parts else f" head{'s' if count > 1 else ''}"
        parts.append(f"{' and '.join(sites)} {verb} {count}{unit}")
    return ", ".join(parts)
