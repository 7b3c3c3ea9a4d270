"""What the model would say at each depth, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.phrases import measured, number
from actlas.analysis.declaring.shown import Caption

SETTLED = 0.5  # share of tokens whose first choice is the final one


def loss_error(result: xr.Dataset) -> float | None:
    """Return how far the last depth is from the stored loss at most, relative above 1 nat."""
    if "stored_nll" not in result:
        return None
    stored, last = result["stored_nll"].values, result["nll"].isel(depth=-1).values
    errors = np.abs(last - stored) / np.maximum(1, np.abs(stored))
    return float(np.nanmax(errors)) if np.isfinite(errors).any() else None


def headline(result: xr.Dataset) -> str:
    """Return from which depth on the final word stands there, and where the loss falls most."""
    depths, agreement = result["depth"].values, result["agreement"].values
    settled, last = _settled(agreement), int(depths[-1])
    if settled == len(depths) - 1 and len(depths) > 1:
        before = f"at depth {depths[-2]} it is for {agreement[-2]:.0%} of tokens"
        line = f"the first choice is settled at depth {last} alone, the last: {before}"
    else:
        line = (
            f"from depth {depths[settled]} of {last} on, the model's first choice is the final one "
            f"for {agreement[settled:].min():.0%} of tokens or more"
        )
    fall = _steepest(result)
    return f"{line}; {fall}" if fall else line


def others(result: xr.Dataset) -> list[str]:
    """Say how the loss falls overall, which answers were asked, and whether the law holds."""
    depths, found = result["depth"].values, []
    if "nll" in result:
        mean = result["nll"].mean("token")
        found.append(
            f"mean loss of {result.sizes['token']:,} tokens from {float(mean[0]):.3g} nats at "
            f"depth {depths[0]} to {float(mean[-1]):.3g} at depth {depths[-1]}"
        )
        found += _by_group(result)
    for word, (number_, text) in result.attrs.get("answers", {}).items():
        found.append(f"answer {word!r} is the token {text!r} (id {number_})")
    error = loss_error(result)
    if error is not None:
        found.append(f"the last depth gives the stored loss to {error:.1e}")
    return found


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: where the loss falls, from where the word stands."""
    fall, depths = _steepest(result), result["depth"].values
    settled = depths[_settled(result["agreement"].values)]
    lines = [f"{fall[0].upper()}{fall[1:]}."] if fall else []
    lines.append(f"Half of the first choices are the final ones from depth {settled} on.")
    return {
        "": Caption("Loss and divergence from the last depth", " ".join(lines)),
        "words": Caption(
            "First choice of every depth, token by token",
            "Below each column the token that was read; in it, from the last depth down, what that "
            f"depth would say comes next. {lines[-1]}",
        ),
        "loss": Caption(
            "Loss on the sentence, token by token",
            "The darker a token, the less the model expected it.",
        ),
    }


def _settled(agreement: np.ndarray) -> int:
    return next(at for at in range(len(agreement)) if (agreement[at:] >= SETTLED).all())


def _steepest(result: xr.Dataset) -> str:
    """Say between which depths the mean loss falls most; empty where it falls nowhere."""
    if "nll" not in result or result.sizes["depth"] < 2:
        return ""
    mean, depths = result["nll"].mean("token").values, result["depth"].values
    falls = -np.diff(mean)
    at = int(np.nan_to_num(falls, nan=-np.inf).argmax())
    if not falls[at] > 0:
        return ""
    return (
        f"the loss falls most between depths {depths[at]} and {depths[at + 1]}, by "
        f"{number(falls[at])} nats of {number(mean[0] - mean[-1])} in all"
    )


def _by_group(result: xr.Dataset) -> list[str]:
    """Say the loss of each group at the end, with its interval, where there are any."""
    if "mean_nll_interval" not in result:
        return []
    last = result["depth"].values[-1]
    known = result["mean_nll"].sel(depth=last).dropna("group")["group"].values
    parts = [f"{group} {measured(result, 'mean_nll', group=group, depth=last)}" for group in known]
    return [f"loss at depth {last}, in nats: {', '.join(parts)}"] if parts else []
