"""What the variances of groups say, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.phrases import group_name, holds_value, measured, places
from actlas.analysis.declaring.shown import Caption


def headline(result: xr.Dataset) -> str:
    """Return where context enters, by the ratio of two groups; of one group how it grows.

    A layer is named where the ratio rises most, if the intervals before and behind are apart.
    """
    if "variance_ratio" not in result or not _known(result):
        return _growth(result)
    contrast, layers = str(result["contrast"].values[0]), result["layer"].values
    one, other = (group_name(result, name) for name in contrast.split(":", 1))
    of = "the control's" if other == "the control" else f"that of {other}"
    first, last = (
        measured(result, "variance_ratio", contrast=contrast, layer=layers[at]) for at in (0, -1)
    )
    what = f"the variance of {one} in Q, K and V"
    if len(layers) == 1:
        return f"{what} is {first} of {of} in layer {layers[0]}"
    entering = _entering(result, contrast) if "pair_target" in result else None
    if entering is None:
        line = f"{what} is {first} of {of} in layer {layers[0]} and {last} in layer {layers[-1]}"
        return line + _undecided(result, contrast)
    here, next_ = (
        measured(result, "variance_ratio", contrast=contrast, layer=layer)
        for layer in (entering, entering + 1)
    )
    line = (
        f"context enters {one} mostly in layer {entering}: its variance in Q, K and V is {here} of "
        f"{of} there and {next_} in layer {entering + 1}"
    )
    return line if entering + 1 == layers[-1] else f"{line}, {last} in layer {layers[-1]}"


def _known(result: xr.Dataset) -> bool:
    ends = result["variance_ratio"].isel(contrast=0, layer=[0, -1])
    return bool(np.isfinite(ends).all())


def _entering(result: xr.Dataset, contrast: str) -> int | None:
    """Return the layer behind which the ratio rises most; None where intervals overlap."""
    bounds = result.get("variance_ratio_interval")
    if bounds is None:
        return None
    layers, ratio = result["layer"].values, result["variance_ratio"].sel(contrast=contrast).values
    rises = np.where(np.diff(layers) == 1, np.diff(ratio), -np.inf)
    at = int(np.nan_to_num(rises, nan=-np.inf).argmax())
    here, behind = (bounds.sel(contrast=contrast).isel(layer=each) for each in (at, at + 1))
    apart = float(here.sel(bound="upper")) < float(behind.sel(bound="lower"))
    return int(layers[at]) if apart and np.isfinite(rises[at]) else None


def _undecided(result: xr.Dataset, contrast: str) -> str:
    """Say of the last layer where its interval does not tell the groups apart."""
    bounds = result.get("variance_ratio_interval")
    last = None if bounds is None else bounds.sel(contrast=contrast).isel(layer=-1)
    return ": there the two are not told apart" if holds_value(last, 1.0) else ""


def _growth(result: xr.Dataset) -> str:
    group, layers = str(result["group"].values[0]), result["layer"].values
    parts = [
        f"{measured(result, 'variance', group=group, projection='q', layer=layer)} in layer {layer}"
        for layer in dict.fromkeys((layers[0], layers[-1]))
    ]
    return f"the variance of {group_name(result, group)} in Q is {' and '.join(parts)}"


def profiles(result: xr.Dataset) -> list[str]:
    """Say how the variances of each projection go from the first layer to the last."""
    found, layers = [], result["layer"].values
    for projection in result["projection"].values:
        ends = result["variance"].sel(projection=projection).isel(layer=[0, -1])
        parts = []
        for group in ends["group"].values:
            first, last = ends.sel(group=group).values
            parts.append(f"{group} {first:.3g} to {last:.3g}")
        found.append(
            f"variance in {str(projection).upper()} from layer {layers[0]} to {layers[-1]}: "
            f"{', '.join(parts)}"
        )
    return found


def caption(result: xr.Dataset) -> Caption:
    """Return the caption of the profile: where groups differ, and where variance is largest."""
    variance, lines = result["variance"], []
    bounds = result.get("variance_contrast_interval")
    if bounds is not None:
        contrast = result["contrast"].values[0]
        one, other = (group_name(result, each) for each in str(contrast).split(":", 1))
        for end, beyond, word in (("upper", -1, "below"), ("lower", 1, "above")):
            differs = bounds.sel(contrast=contrast, bound=end) * beyond > 0
            parts = []
            for projection in result["projection"].values:
                at = result["layer"].values[differs.sel(projection=projection).values]
                if len(at):
                    parts.append(f"{places(map(int, at))} ({str(projection).upper()})")
            if parts:
                lines.append(f"{one} lies {word} {other} in {', '.join(parts)}.")
        lines = lines or [f"Nowhere is {one} told apart from {other}."]
    if bool(variance.notnull().any()):
        flat = variance.stack(at=list(variance.dims))
        top = flat.isel(at=int(flat.fillna(-1).values.argmax()))
        lines.append(
            f"Largest: {group_name(result, str(top['group'].values))} in layer "
            f"{int(top['layer'])} ({str(top['projection'].values).upper()}, {float(top):.3g})."
        )
    note = "Near zero, the model treats the tokens alike in every sentence. "
    return Caption("Variance of each group, layer by layer", note + " ".join(_sentences(lines)))


def _sentences(lines: list[str]) -> list[str]:
    return [f"{line[0].upper()}{line[1:]}" for line in lines]
