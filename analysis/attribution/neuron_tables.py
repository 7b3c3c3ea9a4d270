"""What an attribution shows of neurons in words: tables, findings, how far their sum is off.

All of computed results of the study.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from actlas.analysis.attribution.by_group import first_asked
from actlas.analysis.declaring.shown import Cell, Table, cell

NAMED = 3  # that a finding lists
MOST = 20  # of a table or figure


@dataclass(frozen=True)
class Ranked:
    """A neuron that was named: its layer, its place among those of the layer, its number."""

    layer: int
    choice: int
    neuron: int
    mean: float

    @property
    def name(self) -> str:
        """Return such as ``L7N302``."""
        return f"L{self.layer}N{self.neuron}"


def neuron_error(result: xr.Dataset) -> float:
    """Return how far the sum of neurons is from the part of the MLP, edited layers left out."""
    total = (result["neuron_sum"] + result["neuron_bias"]).values
    part = result["attribution"].sel(part="MLP").values
    kept = ~np.isin(result["layer"].values, list(result.attrs.get("edited", [])))
    errors = np.abs(total - part)[kept] / np.maximum(1, np.abs(part[kept]))
    return float(errors.max(initial=0.0))


def ranked_neurons(values: xr.DataArray, neurons: xr.DataArray) -> list[Ranked]:
    """Return the named neurons by ``values`` (layer, choice), the largest first.

    The sign does not matter; those without a value are left out.
    """
    found = values.transpose("layer", "choice").values
    numbers = neurons.transpose("layer", "choice").values
    layers = values["layer"].values.tolist()
    places = [place for place in np.ndindex(found.shape) if not np.isnan(found[place])]
    ranked = sorted(places, key=lambda place: -abs(found[place]))
    return [
        Ranked(layers[place[0]], place[1], int(numbers[place]), float(found[place]))
        for place in ranked
    ]


def neuron_table(result: xr.Dataset) -> Table:
    """Return the neurons that add most in each group, whatever their layer."""
    several, bounded = result.sizes["group"] > 1, "mean_neuron_interval" in result
    changed = "change_neuron" in result
    rows = []
    for group in map(str, result["group"].values[result["tokens"].values > 0]):
        here = result.sel(group=group)
        for each in ranked_neurons(here["mean_neuron"], result["neuron"])[:MOST]:
            at = here.sel(layer=each.layer).isel(choice=each.choice)
            numbers = [cell(each.mean, "+.3f")]
            numbers += _bounds(at, "mean_neuron_interval") if bounded else []
            numbers += [cell(at["change_neuron"], "+.3f")] if changed else []
            rows.append((cell(each.name), *([cell(group)] if several else []), *numbers))
    ends = (*(("from", "to") if bounded else ()), *(("change",) if changed else ()))
    caption = f"Neurons that add most{', with 95 % intervals' if bounded else ''}"
    return Table.of(caption, ("neuron", *(("tokens",) if several else ()), "mean", *ends), rows)


def _bounds(at: xr.Dataset, name: str) -> list[Cell]:
    return [cell(at[name].sel(bound=end), "+.3f") for end in ("lower", "upper")]


def neuron_contrasts(result: xr.Dataset) -> list[Table]:
    """Return the neurons whose means differ most between groups, where groups are compared."""
    name = "mean_neuron_contrast"
    if name not in result:
        return []
    rows, bounded = [], f"{name}_interval" in result
    for contrast in result["contrast"].values:
        here = result.sel(contrast=contrast)
        for each in ranked_neurons(here[name], result["neuron"])[:MOST]:
            at = here.sel(layer=each.layer).isel(choice=each.choice)
            ends = _bounds(at, f"{name}_interval") if bounded else []
            rows.append((cell(str(contrast)), cell(each.name), cell(each.mean, "+.3f"), *ends))
    header = ("contrast", "neuron", "difference", *(("2.5 %", "97.5 %") if bounded else ()))
    return [Table.of("Difference of what a neuron adds", header, rows)]


def neuron_sentences(result: xr.Dataset) -> list[str]:
    """Say which neurons add most, and how much of what MLPs add a few of them make up."""
    if "mean_neuron" not in result:
        return []
    group = first_asked(result)
    here = result.sel(group=group)
    ranked = ranked_neurons(here["mean_neuron"], result["neuron"])[:NAMED]
    names = [f"{each.name} ({each.mean:+.3g})" for each in ranked]
    of = f"of {group}, " if result.sizes["group"] > 1 else ""
    every = np.sort(np.abs(here["mean_every_neuron"].values).ravel())[::-1]
    half = int(np.searchsorted(np.cumsum(every), every.sum() / 2)) + 1
    return [
        f"{of}of single neurons {names[0]} adds most, then {', '.join(names[1:])}",
        f"{of}{half} of {every.size:,} neurons make up half of all that neurons add or take away",
    ]
