"""Study 1, first half: variance and mean of target and control tokens in Q, K and V, layer by layer."""

from __future__ import annotations

import xarray as xr

from actlas.analysis.tokens import FEWEST, Selection

PROJECTIONS = ("q", "k", "v")
FEATURES = ("head", "d_head")


def token_variance(activations: xr.DataArray) -> xr.Dataset:
    """Mean and sample variance (ddof=1) of each feature over ``token``, in float64.

    activations: (..., token, ...) of any float dtype, at least two tokens; lazy stays lazy.
    Source: study 1, V = Var(X[layer, token="her"]) over the sentences.
    Raises ValueError with fewer than two tokens.
    """
    if activations.sizes["token"] < FEWEST:
        raise ValueError(f"{activations.sizes['token']} tokens, wanted {FEWEST} at least for a variance")
    whole = activations.astype("float64")
    if whole.chunks is not None:
        whole = whole.chunk({"token": -1})  # the selected tokens are few: one two-pass variance per layer
    return xr.Dataset({"variance": whole.var("token", ddof=1), "mean": whole.mean("token")})


def variance_profile(dataset: xr.Dataset, selection: Selection) -> xr.Dataset:
    """Variance and mean of target and control tokens, per feature and averaged over the features of a projection.

    dataset: ``q``, ``k``, ``v`` (layer, token, head, d_head). Returns, lazily and in float64, ``variance`` and ``mean``
    (group, projection, layer), ``feature_variance`` and ``feature_mean`` (group, projection, layer, head, d_head), in the
    units of the activations, squared for variances; and the pairs themselves.
    Raises ValueError with fewer than two tokens.
    """
    groups = []
    for name, tokens in selection.groups.items():
        moments = [token_variance(_unlabelled(dataset[projection]).isel(token=tokens)) for projection in PROJECTIONS]
        groups.append(xr.concat(moments, "projection").expand_dims(group=[name]))
    features = xr.concat(groups, "group").assign_coords(projection=list(PROJECTIONS))
    result = xr.Dataset(
        {
            "variance": features["variance"].mean(FEATURES),
            "mean": features["mean"].mean(FEATURES),
            "feature_variance": features["variance"],
            "feature_mean": features["mean"],
        }
    )
    result["variance"].attrs["long_name"] = "variance over tokens (ddof=1), averaged over features"
    result["mean"].attrs["long_name"] = "mean over tokens, averaged over features"
    result["feature_variance"].attrs["long_name"] = "variance over tokens (ddof=1)"
    result["feature_mean"].attrs["long_name"] = "mean over tokens"
    return result.merge(selection.coordinates())


def _unlabelled(activations: xr.DataArray) -> xr.DataArray:
    """Drop labels of tokens, which end with the reduction over them; ``layer`` stays."""
    return activations.drop_vars([name for name in activations.coords if name != "layer"])
