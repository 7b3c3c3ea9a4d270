"""An architecture at work: a family with the sizes of one model, and where each of its sites is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from actlas.pipeline.models.family import Family, Fields, Row
from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.installed import hands_attention_over
from actlas.pipeline.models.picks import IntArray, as_index
from actlas.pipeline.models.sites import SITES, Site
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import STREAM
from actlas.store.format.parts import SitePart

#: why a family may lack a site; all have the others
REASONS = {
    "resid_mid": "attention and MLP read the same input, with nothing between them",
    "q_normed": "its queries have no norm",
    "k_normed": "its keys have no norm",
    "q_rot": "its positions are not rotary",
    "k_rot": "its positions are not rotary",
    "mlp_up": "its MLP has no gate",
    "final_norm": "each block ends in a LayerNorm, and none follows the last",
    "nll": "it sees both sides of a token, so there is no next-token loss",
}


@dataclass(frozen=True)
class HookPoint:
    """A site in one layer, or at one depth: the module, the side, the columns."""

    site: Site
    index: int  # layer or depth; 0 of a site that has neither
    path: str  # of the module, from the model
    row: Row
    columns: slice | IntArray = field(compare=False, repr=False)  # of the module's tensor

    @property
    def key(self) -> tuple[str, int]:
        """Site and index, as the store counts them."""
        return self.site.name, self.index


@dataclass(frozen=True)
class Architecture:
    """A family and the sizes of one of its models."""

    family: Family
    geometry: Geometry

    @classmethod
    def of(cls, family: Family, fields: Fields) -> Architecture:
        """Return the architecture of a model with effective ``fields``."""
        return cls(replace(family, **family.changes(fields)), family.sizes(fields))

    def check_sites(self, names: Iterable[str]) -> None:
        """Raise UsageError for a site that the family does not have, with the reason."""
        for name in names:
            if name not in self.family.rows:
                has = ", ".join(site for site in SITES if site in self.family.rows)
                raise UsageError(
                    f"{self.family.model_type} has no site {name}: {REASONS[name]}; expected one "
                    f"of {has}"
                )

    def hook_points(self, names: Iterable[str]) -> list[HookPoint]:
        """Return every hook point of the sites ``names``.

        Raises UsageError for a site it does not have.
        """
        return [point for name in names for point in self._points(name)]

    def points_of(self, parts: Iterable[SitePart]) -> list[HookPoint]:
        """Return the hook points of some layers and depths of sites."""
        return [self.hook_point(part.site, number) for part in parts for number in part.numbers]

    def hook_point(self, name: str, index: int) -> HookPoint:
        """Return the hook point of a site in a layer, or at a depth."""
        return self._points(name)[index]

    def available(self, attention: str) -> list[str]:
        """Return the sites that a model with this implementation of attention has."""
        return [name for name in self.family.rows if self.can_hand_over(name, attention)]

    def can_hand_over(self, name: str, attention: str) -> bool:
        """Whether the installed transformers lets a site be read under ``attention``."""
        row = self.family.rows[name]
        if row.side != "attention" or (row.part == "pattern" and attention == "eager"):
            return True
        return hands_attention_over(self.family.loaded_type)

    def norm_path(self, name: str, layer: int) -> str:
        """Return the path of the norm behind a sum, of law ``post``."""
        return self.family.norms[name].format(block=self.block(layer))

    def end(self) -> list[HookPoint]:
        """Return where the pass is over: the final norm, or the last of the residual stream."""
        if "final_norm" in self.family.rows:
            return self.hook_points(["final_norm"])
        return self.hook_points([STREAM])[-1:]

    def block(self, layer: int) -> str:
        """Return the path of a block."""
        return f"{self.family.blocks}.{layer}"

    def columns(self, name: str) -> IntArray:
        """Return the columns of a site in its module's tensor, (head, column).

        One head where there are none.
        """
        site, row = SITES[name], self.family.rows[name]
        return row.pick.columns(*site.columns(self.geometry), self.geometry)

    def _points(self, name: str) -> list[HookPoint]:
        self.check_sites([name])
        site, row, layers = SITES[name], self.family.rows[name], self.geometry.n_layer
        per_layer = site.dims[0] in ("layer", "depth")
        rows = [(layer, row) for layer in range(layers)] if per_layer else [(0, row)]
        if name == STREAM:
            rows.append((layers, self.family.last))
        index = self._index(site, row)
        points = []
        for number, each in rows:
            block = self.block(min(number, layers - 1))
            points.append(HookPoint(site, number, each.module.format(block=block), each, index))
        return points

    def _index(self, site: Site, row: Row) -> slice | IntArray:
        if site.weights or site.loss or row.pick.kind == "whole":
            return slice(None)
        return as_index(row.pick.columns(*site.columns(self.geometry), self.geometry))
