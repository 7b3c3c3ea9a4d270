"""Where an edit acts: a site, a layer or depth, a head, neurons or dims of it.

It becomes columns of a module's tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError, unknown
from actlas.store.format.edit_records import (
    STREAM,
    Elements,
    Stride,
    elements_name,
    elements_text,
)


@dataclass(frozen=True)
class EditTarget:
    """Where an edit acts.

    A site in a layer (``resid``: at a depth), one head or all, some elements of its last dim or
    all: neurons of the sites inside the MLP, dims of the others.
    """

    site: str
    index: int | None  # layer or depth; None for a site that has neither
    head: int | None = None
    elements: Elements | None = None  # numbers, or a slice

    def __post_init__(self) -> None:
        """Raise UsageError for a site that cannot be edited, and for parts it does not have."""
        site = SITES.get(self.site)
        if site is None or not site.editable:
            editable = [name for name, site in SITES.items() if site.editable]
            raise (
                UsageError(
                    f"cannot edit {self.site}: expected {', '.join(editable)}, or layer= alone"
                )
                if site
                else unknown("site", self.site, editable)
            )
        if (self.index is None) != (site.dims[0] == "token"):
            raise UsageError(
                f"an edit of {self.site} "
                f"{f'needs {site.dims[0]}=' if self.index is None else 'has no layer'}"
            )
        if self.head is not None and not site.has_heads:
            raise UsageError(f"{self.site} has no heads: leave head={self.head} out")
        if self.elements is not None:  # one choice, one text, one run
            object.__setattr__(self, "elements", _one_form(self.elements))

    @property
    def order(self) -> tuple[int, int]:
        """Sorts targets as the forward pass comes to them."""
        if self.index is None:
            return (1 << 30, 0)
        if self.site == STREAM:
            return (self.index, 0)
        # between attention and MLP: behind what attention adds
        site = "attn_out" if self.site == "resid_mid" else self.site
        place = 2 * list(SITES).index(site) + (self.site == "resid_mid")
        return (self.index, 1 + place)

    def hook_point(self, architecture: Architecture) -> HookPoint:
        """Return the hook point in the model.

        Raises UsageError if it has no such site, layer, head or column.
        """
        points = architecture.hook_points([self.site])
        index = self.index or 0
        if index >= len(points):
            layer, last = index, len(points) - 1
            if self.site == STREAM:
                layer, last = layer - 1, last - 1
            raise UsageError(f"edit of layer {layer}: the model has layers 0 to {last}")
        kind, way = architecture.family.model_type, points[index].row.edit
        if way == "no":
            raise UsageError(f"{self.site} of {kind} cannot be edited")
        if way == "whole" and (self.head is not None or self.elements is not None):
            raise UsageError(
                f"{self.site} of {kind} goes through a norm over all heads, so an edit of one "
                f"would change all: expected site={self.site}_normed"
            )
        self.columns(architecture)
        return points[index]

    def columns(self, architecture: Architecture) -> npt.NDArray[np.int64]:
        """Return the columns of the module's tensor that are edited, (column,).

        Raises UsageError for those it lacks.

        Head i of K in a fused Q, K, V is columns d_model + i · d_head to d_model + (i + 1) ·
        d_head.
        """
        grid = architecture.columns(self.site)  # (head, column)
        heads, size = grid.shape
        if self.head is not None and self.head >= heads:
            queries = architecture.geometry.n_head
            whose = f"{self.site} has" if heads != queries else "the model has"
            shared = f", each for {queries // heads} of the queries" if heads != queries else ""
            raise UsageError(f"head={self.head}: {whose} heads 0 to {heads - 1}{shared}")
        rows = grid if self.head is None else grid[self.head : self.head + 1]
        return rows[:, self._chosen(size)].reshape(-1)

    def _chosen(self, size: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the chosen elements of ``size``."""
        elements, name = self.elements, elements_name(self.site)
        if elements is None:
            return np.arange(size)
        if isinstance(elements, Stride):
            chosen = np.arange(size)[elements.slice]
            if not len(chosen):
                raise UsageError(f"{name}={elements} chooses none of {size}")
            return chosen
        if elements[-1] >= size:
            raise UsageError(
                f"{name}={elements_text(elements)}: {self.site} has {name} 0 to {size - 1}"
            )
        return np.array(elements)


def _one_form(elements: Elements) -> Elements | None:
    """Return the one form of a choice of elements, None for all of them."""
    if not isinstance(elements, Stride):
        return tuple(sorted(set(elements)))
    step = elements.step if (elements.step or 1) > 1 else None
    plain = Stride(elements.start or None, elements.stop, step)
    return None if plain == Stride() else plain
