"""A variant's pass.

It starts from its baseline's residual, applies its edits, and compares what is upstream of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from actlas.pipeline.edits.apply import Batch, Intervention
from actlas.pipeline.edits.branch import Branch
from actlas.pipeline.edits.spec import edit_text
from actlas.pipeline.extraction.hooks import Start, blocks_return_tuples, edited, run_captured
from actlas.pipeline.extraction.stored_stream import StoredStream
from actlas.pipeline.models.architecture import Architecture, HookPoint
from actlas.store.errors import StoreError
from actlas.store.format.edit_records import STREAM
from actlas.store.format.parts import SitePart
from actlas.store.format.schema import Json, SharedSite, StoredDtype, Unit
from actlas.store.reading.blocks import find_source
from actlas.store.reading.sources import sources_of
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model

#: of the largest value upstream: how far a variant that is computed from the first block may be
#: from a narrowed baseline
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


class VariantPass:
    """The forward passes of one variant, unit by unit.

    Where the baseline's residual is stored in the precision of the computation, blocks before the
    branch are not run: the stored values are those they would give. Else the whole model is run,
    and compared with the baseline at the branch.
    """

    def __init__(
        self,
        branch: Branch,
        architecture: Architecture,
        baseline: Run,
        *,
        computed: StoredDtype,
        stored: StoredDtype,
    ) -> None:
        self.branch = branch
        self._baseline = baseline
        self._stored_stream = StoredStream(baseline, architecture)
        self._stored = stored
        self._exact = stored in (computed, "float32")
        self._interventions = [Intervention(edit, architecture) for edit in branch.edits]
        self._at_branch = self._interventions[: len(branch.edits_at_branch)] if self._exact else []
        self._hooked = self._interventions[len(self._at_branch) :]
        self._architecture = architecture
        stream = architecture.hook_points([STREAM])
        checked = branch.layer if self._exact else branch.depth - 1
        self._checked = stream[checked] if checked >= 0 else None
        # the pass goes on to here, so that every edit is passed
        self._end = architecture.end()

    def begin(self, unit: Unit) -> None:
        """Start a unit, also again."""
        self._unit = unit
        self._compared, self._difference = 0, 0.0
        for each in self._interventions:
            each.begin_unit()

    def shared(self, unit: Unit, parts: Iterable[SitePart]) -> dict[str, SharedSite]:
        """Return what the commit of ``parts`` of ``unit`` refers to instead of storing it."""
        found = {}
        for site, numbers, kept in parts:
            before = tuple(number for number in numbers if number < self.branch.first(site))
            if before:
                whole = self._baseline.index
                there = whole.held(unit).get(site, frozenset()).issuperset(before)
                sources = sources_of(whole if there else whole.view(kept), unit, site)
                checksums = [find_source(sources, number).checksum(number) for number in before]
                found[site] = SharedSite(self._baseline.id, before, tuple(checksums))
        return found

    def forward(
        self,
        model: Model,
        batch: Batch,
        first: int,
        wanted: Sequence[HookPoint],
        sink: Callable[[HookPoint, torch.Tensor], None],
    ) -> None:
        """Run ``batch``, whose tokens begin at ``first`` of the unit.

        ``sink`` gets what of ``wanted`` is the variant's own.
        """
        import torch

        for each in self._interventions:
            each.begin_batch(batch)
        start = self._start(model, batch, first) if self._exact else None
        expected = start.hidden if start else self._upstream(model, batch, first)
        own = [point for point in wanted if self.branch.owns(point)]
        keys = {point.key for point in own}
        extra = [point for point in (self._checked, *self._end) if point and point.key not in keys]

        def receive(point: HookPoint, value: torch.Tensor) -> None:
            if point == self._checked and expected is not None:
                self._compare(value, expected, batch)
            if point.key in keys:
                sink(point, value)

        token_ids = torch.from_numpy(batch.token_ids).to(model.device)
        with edited(model, self._hooked):
            real = None
            if not self._architecture.family.causal:
                real = torch.from_numpy(batch.real).to(token_ids.device)
            points = [*own, *extra]
            run_captured(model, self._architecture, token_ids, points, receive, start, real)

    def edit_check(self) -> tuple[list[Json], Json]:
        """Return what the commit records of the edits and of upstream.

        Raises StoreError unless every edit was applied.
        """
        for each in self._interventions:
            if each.times_applied != self._unit.sentences:
                raise StoreError(
                    f"{edit_text(each.edit)} was applied to {each.times_applied} of "
                    f"{self._unit.sentences} sentences of unit "
                    f"{self._unit.number}: nothing of it is stored; report it with the versions "
                    f"of torch and transformers"
                )
        start = (
            f"{STREAM}[{self.branch.layer}] of run {self._baseline.id}"
            if self._exact
            else "token ids"
        )
        upstream = {"start": start, "compared": self._compared, "max_difference": self._difference}
        return [each.check() for each in self._interventions], upstream

    def _start(self, model: Model, batch: Batch, first: int) -> Start:
        layer = self.branch.layer
        hidden = self._stream(model, batch, first, layer)
        source = self._stream(model, batch, first, layer - 1) if self._at_branch and layer else None
        for each in self._at_branch:
            if source is not None:
                each.keep(each.point, source)
            hidden = each.apply(hidden)
        return Start(layer, hidden, blocks_return_tuples(model, self._architecture))

    def _upstream(self, model: Model, batch: Batch, first: int) -> torch.Tensor | None:
        return (
            None
            if self._checked is None
            else self._stream(model, batch, first, self._checked.index)
        )

    def _stream(self, model: Model, batch: Batch, first: int, depth: int) -> torch.Tensor:
        return self._stored_stream.at(model, self._unit, batch, first, depth)

    def _compare(self, value: torch.Tensor, expected: torch.Tensor, batch: Batch) -> None:
        """Count the values upstream and their largest difference.

        Raises StoreError where they are not the baseline's.
        """
        import torch

        real = torch.from_numpy(batch.real).to(value.device)
        stored = value if self._exact else value.to(getattr(torch, self._stored))
        ours, theirs = stored[real].float(), expected[real].float()
        difference = float((ours - theirs).abs().max())
        allowed = 0.0 if self._exact else TOLERANCE[self._stored] * float(theirs.abs().max())
        if not difference <= allowed:
            place = f"{STREAM}[{self._checked.index if self._checked else 0}]"
            raise StoreError(
                f"upstream of the edits, {place} differs from the baseline by {difference:g}: "
                f"the model's code or software is "
                "not the one the baseline was made with; make both again in a new --store"
            )
        self._compared += ours.numel()
        self._difference = max(self._difference, difference)
