"""Where a variant leaves its baseline.

What comes before is the baseline's, what comes after is computed. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actlas.pipeline.edits.spec import Edit, edit_record, in_order
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.pipeline.models.sites import SITES
from actlas.store.format.edit_records import STREAM, branch_of
from actlas.store.format.schema import SiteLayout


@dataclass(frozen=True)
class Branch:
    """The edits of a variant in the order of the forward pass.

    ``layer`` and ``depth`` are the first that are not the baseline's.
    """

    edits: tuple[Edit, ...]
    layer: int
    depth: int

    @classmethod
    def of(cls, edits: Iterable[Edit], architecture: Architecture) -> Branch:
        """Return the branch of ``edits``.

        Raises UsageError for layers, heads, neurons or dims that the model lacks.
        """
        ordered = in_order(edits)
        for edit in ordered:
            edit.target.hook_point(architecture)
        records = [edit_record(edit) for edit in ordered]
        return cls(ordered, *branch_of(records, architecture.geometry.n_layer))

    @property
    def edits_at_branch(self) -> tuple[Edit, ...]:
        """The edits of the stream at the branch itself.

        They need the baseline's residual alone, and no layer to be run.
        """
        return tuple(
            edit
            for edit in self.edits
            if edit.target.site == STREAM and edit.target.index == self.depth == self.layer
        )

    def first(self, site: str) -> int:
        """Return the first layer or depth of ``site`` that is the variant's own."""
        return {"layer": self.layer, "depth": self.depth}.get(SITES[site].dims[0], 0)

    def owns(self, point: HookPoint) -> bool:
        """Whether the value at ``point`` is the variant's own."""
        return point.index >= self.first(point.site.name)

    def own(self, layouts: Iterable[SiteLayout]) -> list[SiteLayout]:
        """Return the part of ``layouts`` that is the variant's own.

        Sites that are wholly the baseline's are left out.
        """
        found = []
        for layout in layouts:
            own = [number for number in layout.numbers if number >= self.first(layout.site)]
            if own:
                found.append(layout.take(own))
        return found
