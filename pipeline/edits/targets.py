"""Where an edit acts: a site, a layer or depth, a head, units of the last dim; and the columns of a module's tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actlas.pipeline.models.configuration import Geometry
from actlas.pipeline.models.sites import SITES, Place, places
from actlas.store.errors import UsageError, unknown
from actlas.store.format.edit_records import STREAM, Stride, Units


@dataclass(frozen=True)
class Spot:
    """Where an edit acts: a site in a layer (``resid``: at a depth), one head or all, some units of its last dim or all."""

    site: str
    index: int | None  # layer or depth; None for a site that has neither
    head: int | None = None
    units: Units | None = None  # numbers, or a slice

    def __post_init__(self) -> None:
        """Raise UsageError for a site that cannot be edited, and for parts it does not have."""
        site = SITES.get(self.site)
        if site is None or not site.editable:
            editable = [name for name, site in SITES.items() if site.editable]
            raise (
                UsageError(f"cannot edit {self.site}: wanted {', '.join(editable)}, or block=")
                if site
                else unknown("site", self.site, editable)
            )
        if (self.index is None) != (site.dims[0] == "token"):
            raise UsageError(
                f"an edit of {self.site} {f'needs {site.dims[0]}=' if self.index is None else 'has no layer'}"
            )
        if self.head is not None and "head" not in site.dims:
            raise UsageError(f"{self.site} has no heads: leave head={self.head} out")
        if self.units is not None:
            object.__setattr__(
                self, "units", _one_form(self.units)
            )  # one choice, one text, one run

    @property
    def order(self) -> tuple[int, int]:
        """Sorts spots as the forward pass comes to them."""
        if self.index is None:
            return (1 << 30, 0)
        return (self.index, 0 if self.site == STREAM else 1 + list(SITES).index(self.site))

    def place(self, geometry: Geometry) -> Place:
        """Return the place in the model; raises UsageError if it has no such layer, head or unit."""
        found = {place.block: place for place in places((self.site,), geometry)}
        place = found.get(self.index or 0)
        if place is None:
            kind, last = (
                ("block", len(found) - 2) if self.site == STREAM else ("layer", len(found) - 1)
            )
            at = (self.index or 0) - (self.site == STREAM)
            raise UsageError(f"edit of {kind} {at}: the model has {kind}s 0 to {last}")
        self.columns(geometry)
        return place

    def columns(self, geometry: Geometry) -> npt.NDArray[np.int64]:
        """Return the columns of the module's tensor that are edited, (column,); raises UsageError for those it lacks.

        Head i of K is d_model + i · d_head : d_model + (i + 1) · d_head of the fused Q, K, V.
        """
        site = SITES[self.site]
        heads, size = (
            (geometry.n_head, geometry.d_head)
            if "head" in site.dims
            else (1, geometry.sizes[site.dims[-1]])
        )
        if self.head is not None and self.head >= heads:
            raise UsageError(f"head={self.head}: the model has heads 0 to {heads - 1}")
        grid = (
            np.arange(heads * size).reshape(heads, size) + (site.part or 0) * geometry.d_model
        )  # (head, unit)
        rows = grid if self.head is None else grid[self.head : self.head + 1]
        return rows[:, _chosen(self.units, size)].reshape(-1)


def _one_form(units: Units) -> Units | None:
    """Return the one form of a choice of units, None for all of them."""
    if not isinstance(units, Stride):
        return tuple(sorted(set(units)))
    plain = Stride(units.start or None, units.stop, units.step if (units.step or 1) > 1 else None)
    return None if plain == Stride() else plain


def _chosen(units: Units | None, size: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the chosen units of ``size``."""
    if units is None:
        return np.arange(size)
    if isinstance(units, Stride):
        chosen = np.arange(size)[units.slice]
        if not len(chosen):
            raise UsageError(f"units={units} chooses none of {size} units")
        return chosen
    if units[-1] >= size:
        raise UsageError(f"units={'+'.join(map(str, units))}: there are units 0 to {size - 1}")
    return np.array(units)
