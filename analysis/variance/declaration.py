"""Study 1, first half, as users meet it: ``actlas variance``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlas.analysis.declaring import Subject, Table, cell
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    heads_note,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupStudy, NamedOptions
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

SHOWN_LAYERS = 9


class Variance(GroupStudy[NamedOptions]):
    """Variance and mean of groups of tokens in Q, K and V of RUN, layer by layer.

    Of a target word and its controls, or of any named groups. Near zero: the model treats the word
    alike everywhere. Growth with depth: context enters.
    """

    name = "variance"
    help = "Variance and mean of groups of tokens, layer by layer."
    heading = "Where does context enter?"
    question = (
        "A target is one and the same word in every sentence, its control another token each "
        "time. What differs between the sentences in Q, K and V is what context has put there."
    )
    examples = ("actlas variance her-demo --store actlas-demo/store --target her",)
    options = NamedOptions
    every = False
    needs = ("q", "k", "v")
    numbers = (
        *("variance", "variance_interval", "variance_contrast", "variance_contrast_interval"),
        *("variance_ratio", "variance_ratio_interval"),
    )

    def compute(self, subject: Subject, options: NamedOptions) -> xr.Dataset:
        """Return variances and means by group, projection and layer, with intervals."""
        from actlas.analysis.data.sites import heads_of
        from actlas.analysis.groups.resampling import with_contrasts, with_intervals
        from actlas.analysis.variance.compute import variance_draws, variance_profile, with_ratios

        dataset = subject.dataset
        groups = self.groups(dataset, options)
        result, drawn = variance_profile(dataset, groups), options.resampling(groups)
        draws = None
        if drawn is None:
            result = with_contrasts(result, "variance", groups.contrasts)
        else:
            draws = variance_draws(dataset, groups, drawn)
            result = with_intervals(result, "variance", draws, groups.contrasts)
        result = with_ratios(result, draws, groups.contrasts)
        return with_groups(result, groups).assign_attrs(heads=heads_of(dataset, self.needs))

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the variances, a row a layer."""
        variance = result["variance"].transpose("layer", "projection", "group")
        header = [
            f"{str(projection).upper()} {group}"
            for projection in variance["projection"].values
            for group in variance["group"].values
        ]
        rows = [
            (cell(layer, "d"), *map(cell, numbers.ravel()))
            for layer, numbers in zip(variance["layer"].values, variance.values, strict=True)
        ]
        caption = "Variance over tokens, mean over features" + heads_note(result)
        caption += control_note(result)
        compared = contrast_table(result, "variance", "Difference of variances between groups")
        return [Table.of(caption, ("layer", *header), rows), *compared]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers."""
        layers = result.sizes["layer"]
        table, *_ = self.tables(result.isel(layer=spread_out(layers, SHOWN_LAYERS)))
        _, *compared = self.tables(result.isel(layer=sorted({0, layers // 2, layers - 1})))
        return [table, *compared]

    def figures(self, result: xr.Dataset, subject: Subject, options: NamedOptions) -> Figures:
        """Return the profile."""
        from actlas.analysis.variance.figures import variance_profile
        from actlas.analysis.variance.findings import caption

        return {"": (variance_profile(result, options.target), caption(result))}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the profile."""
        from actlas.analysis.variance.charts import variance_chart

        return {"": variance_chart(result)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: NamedOptions
    ) -> None:
        """Draw the variance of each projection over layers."""
        from actlas.analysis.variance.figures import variance_panel

        variance_panel(axes, result, options.target)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say where context enters, and how the variances go from the first layer to the last."""
        from actlas.analysis.variance.findings import headline, profiles

        found = [headline(result), *profiles(result), *apart(result, "variance", "the variance")]
        return bracket_note(result, [*found, *self.compared(result, subject)])
