"""What edits do downstream, in sentences."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actlas.analysis.declaring.phrases import holds_value, interval, number, places, shortened
from actlas.analysis.declaring.shown import Caption
from actlas.analysis.norms.per_token import RMS, per_token

SAME = 0.05  # relative change of a distance below which it stays as it is


def headline(result: xr.Dataset) -> str:
    """Return which edit changes the loss most and what becomes of it on the way to the end.

    Without a stored loss, which moves the last depth most.
    """
    count = result.sizes["variant"]
    if "nll_change" in result:
        changes = np.abs(result["nll_change"].fillna(0).values)
        most = result.isel(variant=int(changes.argmax()))
        line = f"{_edits(most)} {_loss(most)}"
        if count > 1:
            least = result.isel(variant=int(changes.argmin()))
            line = f"of {count} edits, {line}, most of all; least: {_edits(least)} {_loss(least)}"
        return f"{line}; {_travel(most)}" if count == 1 else line
    ends = result["relative_delta"].isel(depth=-1).fillna(-1).values
    most = result.isel(variant=int(ends.argmax()))
    if count == 1:
        return f"with {_edits(most)} {_travel(most)}"
    return f"of {count} edits, {_edits(most)} moves the stream most: {_travel(most)}"


def ends(result: xr.Dataset, layers: int | None) -> list[str]:
    """Say of several variants how far they end from the baseline, and what the loss does."""
    count = result.sizes["variant"]
    if count == 1:  # the headline has it all
        return []
    values = result["relative_delta"].isel(depth=-1).values
    end = f"{values.min():.3g} to {values.max():.3g}"
    last = int(result["depth"][-1])
    where = "the last depth" if layers in (None, last) else f"depth {last}"
    found = [
        f"{count} variants: at {where} they differ from the run without edits by {end} of its norm"
    ]
    if "nll_change" in result:
        changes = result["nll_change"].values
        found.append(f"change of loss {changes.min():+.3g} to {changes.max():+.3g} nats")
    return found


def captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions by kind of figure: where distances are largest, steps 0, spread high."""
    delta = result["relative_delta"]
    top = _largest(delta)
    travels = "; ".join(f"{_edits(each)}: {_travel(each)}" for each in _some(result))
    zero = _zero_steps(result)
    std = _largest(result["std"])
    clean = result["baseline_std"].sel(depth=std["depth"])
    return {
        "": Caption(
            "Distance to the run without edits",
            f"Of a token, {RMS}, and relative to its norm without edits. Zero before the edit, "
            f"whose depth has a diamond. Largest: {_place(top)} of the norm. "
            f"{travels[0].upper()}{travels[1:]}.",
        ),
        "step": Caption(
            "How far each layer moves the residual stream",
            f"The step of a token, {RMS}; dashed: the run without edits. {zero}",
        ),
        "std": Caption(
            "Spread of the residual stream",
            f"Dashed: the run without edits. Largest: {_place(std)}, {number(clean)} without the "
            "edit.",
        ),
        **_effect_captions(result),
    }


def _effect_captions(result: xr.Dataset) -> dict[str, Caption]:
    """Return the captions of effects by dose and by group: who is changed most, who least."""
    name = "nll_change" if "nll_change" in result else "relative_delta"
    sizes = abs(result[name] if name == "nll_change" else result[name].isel(depth=-1))
    order = sizes.argsort().values
    least, most = (_edits(result.isel(variant=int(order[at]))) for at in (0, -1))
    found = {"dose": Caption("Effect of the edit by dose", f"Largest: {most}; smallest: {least}.")}
    titles = {
        "groups": ("group_relative_delta", "Distance to the run without edits, by group"),
        "loss": ("group_nll_change", "Change of the loss by group of tokens"),
    }
    for kind, (variable, title) in titles.items():
        if variable in result:
            found[kind] = Caption(title, _most_changed(result, variable))
    return found


def _most_changed(result: xr.Dataset, variable: str) -> str:
    """Say which group is changed most, at the last depth or in its loss."""
    values = (
        result[variable].isel(depth=-1) if "depth" in result[variable].dims else result[variable]
    )
    known = abs(values).transpose("variant", "group").fillna(-1)
    variant, group = divmod(int(known.values.argmax()), known.sizes["group"])
    name, where = str(known["group"].values[group]), result.isel(variant=variant)
    size = number(values.transpose("variant", "group")[variant, group])
    unit = "of its norm at the last depth" if "depth" in result[variable].dims else "nats a token"
    return f"Changed most: {name}, {size} {unit} ({_edits(where)})."


def _travel(variant: xr.Dataset) -> str:
    """Say how the distance goes from where the edit begins to the end, relative to the norm."""
    delta, first = variant["relative_delta"], int(variant["first_depth"])
    last = int(delta["depth"][-1])
    end = float(delta.isel(depth=-1))
    if first not in delta["depth"].values or first == last:
        return f"the stream differs by {number(end)} of its norm at depth {last}"
    there = float(delta.sel(depth=first))
    line = (
        f"the stream differs by {number(there)} of its norm at depth {first}, where the edit "
        f"begins, and by {number(end)} at depth {last}"
    )
    if not there > 0 or abs(end - there) < SAME * there:
        return line
    return f"{line}: the difference {'grows' if end > there else 'shrinks'} to {end / there:.0%}"


def _loss(variant: xr.Dataset) -> str:
    change, bounds = float(variant["nll_change"]), variant.get("nll_change_interval")
    amount = f"{number(abs(change))} nats"
    if holds_value(bounds):
        return f"changes the loss by {number(change)} nats{interval(bounds)}, not told from 0"
    way = "raises" if change >= 0 else "lowers"
    if bounds is not None and change < 0:  # the amount is said without its sign
        flipped = -bounds
        bounds = flipped.assign_coords(bound=["upper", "lower"])
    return f"{way} the loss by {amount}{interval(bounds)}"


def _zero_steps(result: xr.Dataset) -> str:
    found = []
    for variant in _some(result):
        step = variant["step"]
        depths = step["depth"].values[(step == 0).values]
        if len(depths):
            layers = places(int(depth) - 1 for depth in depths)
            found.append(f"{_edits(variant)}: the step of {layers} is exactly 0.")
    if found:
        return " ".join(found)
    change = abs(per_token(result, "step") - per_token(result, "baseline_step"))
    return f"Farthest from it: {_place(_largest(change), 'by ')}."


def _largest(values: xr.DataArray) -> xr.DataArray:
    flat = values.stack(at=("variant", "depth"))
    return flat.isel(at=int(flat.fillna(-1).values.argmax()))


def _place(value: xr.DataArray, before: str = "") -> str:
    return f"{before}{number(value)} at depth {int(value['depth'])} ({_edits(value)})"


def _some(result: xr.Dataset) -> list[xr.Dataset]:
    """Return the variants that captions name: the one that ends farthest, and the nearest."""
    ends_ = result["relative_delta"].isel(depth=-1).fillna(0).values
    chosen = dict.fromkeys((int(ends_.argmax()), int(ends_.argmin())))
    return [result.isel(variant=place) for place in chosen]


def _edits(variant: xr.Dataset | xr.DataArray) -> str:
    return shortened(str(variant["edits"].values))
