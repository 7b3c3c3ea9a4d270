"""How charts call groups of tokens, and where intervals of their numbers lie."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from actlas.analysis.charts.records import plain
from actlas.analysis.charts.spec import Series
from actlas.analysis.data.group_looks import group_looks

CONTROLS = {"previous": "token before", "random": "earlier token", "matched": "same position"}


def group_series(result: xr.Dataset, names: Sequence[str] | None = None) -> Series:
    """Return the groups of a result as series; names: those that are shown, all where None."""
    labels, looks = group_labels(result), group_looks(result["group"].values)
    shown = list(labels) if names is None else list(names)
    return Series(
        *("group", tuple(labels[name] for name in shown), "tokens"),
        looks=tuple(looks[name] for name in shown),
    )


def group_labels(result: xr.Dataset) -> dict[str, str]:
    """Return what each group is called: of a target its word, of controls how they were chosen."""
    word, kind = result.attrs.get("target"), CONTROLS.get(str(result.attrs.get("control")))
    known = {}
    if word:
        known = {"target": f"target “{plain(word)}”", "control": "control"}
        known |= {"control": f"control: {kind}"} if kind else {}
    labels: dict[str, str] = {}
    for name in map(str, result["group"].values):
        label = known.get(name, plain(name))
        labels[name] = f"{label} ({len(labels)})" if label in labels.values() else label
    return labels


def bounded(result: xr.Dataset, name: str) -> dict[str, xr.DataArray]:
    """Return ``name``, and where it has intervals ``low`` and ``high``."""
    found = {name: result[name]}
    if f"{name}_interval" in result:
        ends = result[f"{name}_interval"]
        low, high = (ends.sel(bound=end, drop=True) for end in ("lower", "upper"))
        found |= {"low": low, "high": high}
    return found


ENDS = (("#low", "95 % from"), ("#high", "to"))


def ends(found: dict[str, xr.DataArray]) -> tuple[tuple[str, str], ...]:
    """Return the intervals of ``bounded`` as ``tips`` takes them."""
    return ENDS if "low" in found else ()


def interval(found: dict[str, xr.DataArray]) -> tuple[str, str] | None:
    """Return the fields of the intervals of ``bounded``."""
    return ("low", "high") if "low" in found else None
