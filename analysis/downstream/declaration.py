"""Studies 3 to 5 as users meet them: ``actlas downstream``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actlas.analysis.declaring import Subject, Table, cell
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupOptions, GroupStudy
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures
from actlas.analysis.norms.per_token import RMS, per_token
from actlas.store.errors import UsageError
from actlas.store.format.edit_records import branch_of, edits_text

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.downstream.compute import Variant


class Downstream(GroupStudy[GroupOptions]):
    """Compare each VARIANT with its run without edits: distance, steps, spread, change of loss.

    The loss is left out where `nll` is not stored; masked models have none.

    VARIANT is a run of `actlas sweep` or `actlas extract --edit`; names may be patterns, such as
    'her-demo.scale*'.
    """

    name = "downstream"
    help = "What edits do to the residual stream and the loss, depth by depth."
    heading = "What do edits do downstream?"
    question = (
        "The same sentences with and without an edit, compared depth by depth. Before the edit "
        "nothing may differ."
    )
    examples = ("actlas downstream 'english-demo.scale*' --store actlas-demo/store",)
    options = GroupOptions
    needs = ("resid",)
    optional = ("nll",)
    variants = "named"
    together = 4
    numbers = (
        *("edits", "first_depth", "delta", "relative_delta", "step", "std"),
        *("nll_change", "nll_change_interval", "group_nll_change", "group_nll_change_interval"),
    )

    def compute(self, subject: Subject, options: GroupOptions) -> xr.Dataset:
        """Return distances, steps, spread and the change of loss, by variant and depth."""
        from actlas.analysis.downstream import compute
        from actlas.analysis.downstream.by_group import with_loss_interval

        variants = [_variant(variant) for variant in subject.variants]
        groups = self.groups(subject.dataset, options)
        drawn = options.resampling(groups.apart)
        try:
            result = compute.downstream(subject.dataset, variants, groups, drawn)
        except ValueError as error:
            raise UsageError(str(error)) from error
        datasets = [variant.dataset for variant in subject.variants]
        result = with_loss_interval(result, subject.dataset, datasets, "variant", options)
        return with_groups(result, groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return a row a variant: distance where its edit begins and at the end, change of loss.

        Runs without a stored loss, such as those of masked models, have no column of it.
        """
        last, rows, has_loss = int(result["depth"][-1]), [], "nll_change" in result
        deltas = per_token(result, "delta")
        for place in range(result.sizes["variant"]):
            variant = result.isel(variant=place)
            first, delta = int(variant["first_depth"]), deltas.isel(variant=place)
            loss = (cell(variant["nll_change"], "+.4f"),) if has_loss else ()
            row = (
                cell(str(variant["edits"].values)),
                cell(first, "d"),
                cell(delta.sel(depth=first) if first in delta["depth"] else math.nan),
                cell(delta[-1]),
                cell(variant["relative_delta"][-1], ".3g"),
                *loss,
            )
            rows.append(row)
        header = (
            *("edits", "depth", "RMS there", f"RMS at {last}", "relative"),
            *(("change of loss",) if has_loss else ()),
        )
        caption = (
            "Distance to the run without edits, at the first depth that changes and at the last: "
            f"{RMS} of the change of the residual stream; at the last also relative to its norm"
        ) + ("; change of loss in nats a token" if has_loss else "")
        return [Table.of(caption, header, rows), *_by_group(result)]

    def figures(self, result: xr.Dataset, subject: Subject, options: GroupOptions) -> Figures:
        """Return distances, steps and spread; effects by dose and by group, where there are any."""
        from actlas.analysis.downstream.effect_figures import (
            dose_of,
            dose_response,
            downstream_groups,
            group_losses,
        )
        from actlas.analysis.downstream.figures import downstream_delta, downstream_profile
        from actlas.analysis.downstream.findings import captions

        drawn = {"": downstream_delta(result)}
        drawn |= {kind: downstream_profile(result, kind) for kind in ("step", "std")}
        if dose_of(result) is not None:
            drawn["dose"] = dose_response(result)
        if "group_relative_delta" in result:
            drawn["groups"] = downstream_groups(result)
        if "group_nll_change" in result:
            drawn["loss"] = group_losses(result)
        noted = captions(result)
        return {kind: (figure, noted[kind]) for kind, figure in drawn.items()}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return distances, steps and spread; effects by dose and by group, where there are any."""
        from actlas.analysis.data.doses import doses
        from actlas.analysis.downstream.charts import delta_chart, profile_chart
        from actlas.analysis.downstream.effect_charts import dose_chart, group_chart, loss_chart

        drawn = {kind: profile_chart(result, kind) for kind in ("step", "std")}
        if doses([str(text) for text in result["edits"].values]) is not None:
            drawn["dose"] = dose_chart(result)
        if "group_relative_delta" in result:
            drawn["groups"] = group_chart(result)
        if "group_nll_change" in result:
            drawn["loss"] = loss_chart(result)
        return {"": delta_chart(result), **drawn}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: GroupOptions
    ) -> None:
        """Draw the distance to the run without edits, relative to its norm, over depths."""
        from actlas.analysis.downstream.figures import delta_panel

        delta_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say which edit changes the loss most, and how far the variants end from the baseline."""
        from actlas.analysis.downstream.findings import ends, headline

        found = [headline(result), *ends(result, subject.layers)]
        found += apart(result, "group_nll_change", "the change of loss")
        return bracket_note(result, [*found, *result.attrs.get("group_notes", [])])


def _by_group(result: xr.Dataset) -> list[Table]:
    """Return the change of each group at the last depth and in loss, a row a variant and group."""
    if "group_relative_delta" not in result:
        return []
    rows, has_loss = [], "group_nll_change" in result
    for place in range(result.sizes["variant"]):
        variant = result.isel(variant=place)
        ends = variant["group_relative_delta"].isel(depth=-1).dropna("group")
        for group in ends["group"].values:
            loss = [cell(variant["group_nll_change"].sel(group=group), "+.4f")] if has_loss else []
            edits = cell(str(variant["edits"].values))
            rows.append((edits, cell(str(group)), cell(ends.sel(group=group), ".3g"), *loss))
    header = ("edits", "group", "relative", *(("change of loss",) if has_loss else ()))
    what = "Difference of the change of loss between groups, in nats a token"
    caption = "The same by group of tokens, at the last depth" + control_note(result)
    return [
        Table.of(caption, header, rows),
        *contrast_table(result, "group_nll_change", what),
    ]


def _variant(subject: Subject) -> Variant:
    from actlas.analysis.downstream.compute import Variant

    # before its first depth a variant's numbers are the baseline's own
    layers = subject.layers or int(subject.dataset["depth"][-1])
    _, first_depth = branch_of(subject.edits, layers)
    return Variant(subject.name, edits_text(subject.edits), first_depth, subject.dataset)
