"""Study 3 as users meet it: ``actlas scan``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actlas.analysis.declaring import PlannedRun, Subject, Table, cell
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupOptions, GroupStudy
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Edits, Figures
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import EditRecord

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes


def skipped_layer(edits: Sequence[EditRecord]) -> int | None:
    """Return the layer that these edits skip, None where they do anything else or more."""
    return edits[0].edited_layer if len(edits) == 1 and edits[0].kind == "skip" else None


class Scan(GroupStudy[GroupOptions]):
    """Rank the layers of RUN by what skipping each costs: change of the loss, of the last residual.

    RUN is the run without edits; `actlas sweep … --edit "skip:layer=*"` makes the others.
    """

    name = "scan"
    help = "Which layers are redundant: the loss when each is skipped."
    heading = "Which layers are redundant?"
    question = (
        "Each layer is skipped in turn: its output is replaced by its input. What that costs is "
        "what the layer is good for."
    )
    examples = ("actlas scan english-demo --store actlas-demo/store",)
    options = GroupOptions
    needs = ("resid", "nll")
    variants = "found"
    numbers = (
        *("layer", "nll_change", "nll_change_interval", "final_relative_delta"),
        *("group_nll_change", "group_nll_change_interval"),
    )

    def check(self, options: GroupOptions, planned: PlannedRun) -> None:
        """Raise UsageError where no layer is skipped, or for groups that there are not."""
        super().check(options, planned)
        if all(skipped_layer(edits) is None for edits in planned.edits):
            raise UsageError('the run skips no layer: give it edits = ["skip:layer=*"]')

    def variant_key(self, edits: Edits) -> int | None:
        """Return the layer that is skipped."""
        return skipped_layer(edits)

    def compute(self, subject: Subject, options: GroupOptions) -> xr.Dataset:
        """Return the change of the loss and of the last residual, by the layer that is skipped."""
        from actlas.analysis.downstream.by_group import with_loss_interval
        from actlas.analysis.downstream.compute import redundancy

        if not subject.variants:
            raise UsageError(
                f"no variant of run {subject.name} skips a layer: the sentences and options it was "
                'made with, in `actlas sweep SENTENCES … --edit "skip:layer=*"`, make them'
            )
        last = int(subject.dataset["depth"][-1])
        if subject.layers is not None and last != subject.layers:
            raise UsageError(
                f"run {subject.name} and its variants have resid up to depth {last} in common, and "
                f"what skipping changes is measured at depth {subject.layers}: the same commands "
                f"with --depths {subject.layers} add it"
            )
        skipped = {}
        for variant in subject.variants:
            skipped[int(str(skipped_layer(variant.edits)))] = variant.dataset
        groups = self.groups(subject.dataset, options)
        drawn = options.resampling(groups.apart)
        try:
            result = redundancy(subject.dataset, skipped, groups, drawn)
        except ValueError as error:
            raise UsageError(f"run {subject.name}: {error}") from error
        datasets = list(skipped.values())
        result = with_loss_interval(result, subject.dataset, datasets, "layer", options)
        return with_groups(result, groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return what skipping each layer costs, a row a layer."""
        rows, names = [], _named(result)
        for layer in result["layer"].values:
            at = result.sel(layer=layer)
            changes = cell(at["nll_change"], "+.4f"), cell(at["final_relative_delta"], ".3g")
            by_group = [cell(at["group_nll_change"].sel(group=name), "+.4f") for name in names]
            rows.append((cell(layer, "d"), *changes, *by_group))
        header = ("layer", "change of loss", "relative change of the last residual")
        caption = "What skipping a layer costs; change of loss in nats a token"
        caption += control_note(result) if names else ""
        table = Table.of(caption, (*header, *(f"of {name}" for name in names)), rows)
        what = "Difference of the change of loss between groups, in nats a token"
        return [table, *contrast_table(result, "group_nll_change", what)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the dearest layer first."""
        return self.tables(result.isel(layer=result["nll_change"].values.argsort()[::-1]))

    def figures(self, result: xr.Dataset, subject: Subject, options: GroupOptions) -> Figures:
        """Return what skipping each layer costs, by group too."""
        from actlas.analysis.downstream.effect_figures import redundant_layers
        from actlas.analysis.scan.findings import caption

        return {"": (redundant_layers(result), caption(result))}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the cost of each layer."""
        from actlas.analysis.scan.charts import cost_chart

        return {"": cost_chart(result)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: GroupOptions
    ) -> None:
        """Draw what skipping each layer costs."""
        from actlas.analysis.downstream.effect_figures import redundancy_panel

        redundancy_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say what skipping the layers costs, and whose cost is not told from 0."""
        from actlas.analysis.scan.findings import headline, least, stream_line, undecided

        found = [headline(result), *least(result), *undecided(result), stream_line(result)]
        found += apart(result, "group_nll_change", "the change of loss")
        return bracket_note(result, [*found, *result.attrs.get("group_notes", [])])


def _named(result: xr.Dataset) -> list[str]:
    """Return the groups whose loss is told apart."""
    if "group_nll_change" not in result:
        return []
    return [
        str(name) for name in result["group_nll_change"].dropna("group", how="all")["group"].values
    ]
