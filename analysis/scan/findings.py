"""What skipping each layer costs, in sentences."""

from __future__ import annotations

import xarray as xr

from actlas.analysis.declaring.phrases import holds_value, measured, number, places
from actlas.analysis.declaring.shown import Caption

CLOSE = 0.5  # share of the highest cost from which on the next layer is named too
MOST_NAMED = 3


def headline(result: xr.Dataset) -> str:
    """Return which layers cost most when they are skipped, and how little all others do."""
    ranked = _ranked(result)
    layers = [int(layer) for layer in ranked["layer"].values]
    costs = ranked["nll_change"].values
    if not costs[0] > 0:
        return f"no layer is needed: skipping any lowers the loss, {_cost(result, layers[0])} most"
    close = sum(float(cost) >= CLOSE * float(costs[0]) for cost in costs)
    if close > MOST_NAMED:
        return (
            f"no single layer stands out: skipping layer {layers[0]} costs most, "
            f"{_cost(result, layers[0])} a token, and {close - 1} of the other {len(layers) - 1} "
            "cost at least half as much"
        )
    named = layers[:close]
    first, *others = named
    line = f"skipping layer {first} costs {_cost(result, first)} a token"
    line += "".join(f", layer {layer} {_cost(result, layer)}" for layer in others)
    rest = layers[len(named) :]
    if not rest:
        return line
    most = f"{float(costs[len(named)]):+.3g} nats at most (layer {rest[0]})"
    return (
        f"{line}; every other layer {most}" if len(rest) > 1 else f"{line}; layer {rest[0]} {most}"
    )


def undecided(result: xr.Dataset) -> list[str]:
    """Name the layers whose cost is not told from 0."""
    bounds = result.get("nll_change_interval")
    if bounds is None:
        return []
    layers = [int(n) for n in result["layer"].values if holds_value(bounds.sel(layer=n))]
    if not layers:
        return ["the interval of no layer's cost includes 0"]
    return [f"not told from 0: the cost of {places(layers)}"]


def least(result: xr.Dataset) -> list[str]:
    """Name the layer that costs least."""
    ranked = _ranked(result)
    if ranked.sizes["layer"] < 2:
        return []
    layer = int(ranked["layer"].values[-1])
    return [f"layer {layer} costs least of {ranked.sizes['layer']}: {_cost(result, layer)}"]


def stream_line(result: xr.Dataset) -> str:
    """Say whose skipping moves the last residual most."""
    moved = result["final_relative_delta"]
    most = moved.isel(layer=int(moved.fillna(-1).values.argmax()))
    return (
        f"the last residual moves most without layer {int(most['layer'])}: by {number(most)} of "
        "its norm"
    )


def caption(result: xr.Dataset) -> Caption:
    """Return the caption: who costs most, and how many cost little."""
    ranked = _ranked(result)
    costs, layers = ranked["nll_change"].values, ranked["layer"].values
    small = [int(n) for n, c in zip(layers, costs, strict=True) if abs(c) < 0.1 * abs(costs[0])]
    line = f"Layer {int(layers[0])} costs most, {float(costs[0]):+.3g} nats a token."
    if small:
        line += f" Less than a tenth of that: {places(small)}."
    notes = " ".join(f"{each[0].upper()}{each[1:]}." for each in undecided(result))
    return Caption("Change of the loss when a layer is skipped", f"{line} {notes}".strip())


def _ranked(result: xr.Dataset) -> xr.Dataset:
    return result.isel(layer=result["nll_change"].fillna(-1e9).values.argsort()[::-1])


def _cost(result: xr.Dataset, layer: int) -> str:
    text = measured(result, "nll_change", layer=layer)
    head, _, tail = text.partition(" [")
    line = f"{head} nats [{tail}" if tail else f"{head} nats"
    bounds = result.get("nll_change_interval")
    unsure = bounds is not None and holds_value(bounds.sel(layer=layer))
    return f"{line} (not told from 0)" if unsure else line
