"""Study 1, second half, as users meet it: ``actlas cosine``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.declaring import PlannedRun, Subject, Table, cell, option
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    heads_note,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupStudy, NamedOptions
from actlas.analysis.declaring.layers import parse_layers
from actlas.analysis.declaring.options import WRITTEN
from actlas.analysis.declaring.phrases import bracket_note
from actlas.analysis.declaring.study import Charts, Figures

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.groups.token_groups import TokenGroups

OVERALL = {"long_name": "mean |cosine| of the six pairs of projections"}


@dataclass(frozen=True)
class CosineOptions(NamedOptions):
    """Which tokens, how cosines are counted, and what is written."""

    bins: int = option(  # a figure of all pairs and layers has one point each
        100, help="Bins of the histograms, equal, over [-1, 1].", bounds=(1, 2_000)
    )
    center: bool = option(
        False,
        help="Take each feature's mean off first: K and V then no longer measure a constant "
        "offset.",
    )
    layers: str | None = option(
        None,
        help="Layers of the model, such as 0,12,47 or 0-5,47.  [default: all]",
        metavar="LIST",
    )
    save_matrix: bool = option(
        False,
        help="Write the whole matrix of the chosen layers too, to a file of its own.",
        heading=WRITTEN,
    )


class Cosine(GroupStudy[CosineOptions]):
    """Cosines between the features of Q, K and V of RUN over the contexts of tokens.

    Every pair of features is compared in six pairs of projections, QQ, KK, VV, QK, QV and KV; the
    histograms are stacked over layers. Cosines near ±1: the features do not tell contexts apart.
    Near 0: each has its own say.
    """

    name = "cosine"
    help = "Cosines between features over contexts, in six pairs of projections, layer by layer."
    heading = "How alike are features over contexts?"
    question = (
        "Every feature of Q, K and V is a column of numbers, one for each token. Two features "
        "whose columns point the same way do not tell contexts apart."
    )
    shown_in = "profile"
    examples = ("actlas cosine her-demo --store actlas-demo/store --target her --control matched",)
    options = CosineOptions
    every = False
    needs = ("q", "k", "v")
    numbers = (
        *("mean_abs", "mean_abs_interval", "mean_abs_contrast", "chance"),
        *("overall_abs", "overall_abs_interval"),
    )

    def check(self, options: CosineOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a word or a layer that is not there."""
        super().check(options, planned)
        parse_layers(options.layers, range(planned.layers))

    def compute(self, subject: Subject, options: CosineOptions) -> xr.Dataset:
        """Return histograms and moments of the cosines by group, pair of projections and layer."""
        from actlas.analysis.cosine.compute import cosine_histograms
        from actlas.analysis.cosine.heads import head_cosines
        from actlas.analysis.cosine.intervals import cosine_draws
        from actlas.analysis.data.sites import heads_of
        from actlas.analysis.groups.resampling import with_contrasts, with_intervals

        dataset, center = _chosen(subject, options), options.center
        groups = self.groups(dataset, options)
        result = cosine_histograms(dataset, groups, bins=options.bins, center=center)
        drawn = options.resampling(groups)
        result["overall_abs"] = result["mean_abs"].mean("projection_pair").assign_attrs(OVERALL)
        if drawn is None:
            result = with_contrasts(result, "mean_abs", groups.contrasts)
        else:
            draws = cosine_draws(
                dataset, groups, drawn, result["mean_abs"], center=center, seed=options.seed
            )
            result = with_intervals(result, "mean_abs", draws, groups.contrasts)
            result = with_intervals(result, "overall_abs", draws.mean("projection_pair"), ())
        result = with_chance(result, groups, center=center)
        result["head_cosine"] = head_cosines(dataset, groups, center=center)
        return with_groups(result, groups).assign_attrs(heads=heads_of(dataset, self.needs))

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return mean |cosine| and the share near ±1, a row a pair of projections and layer."""
        groups = [str(group) for group in result["group"].values]
        rows = []
        for pair in result["projection_pair"].values:
            for layer in result["layer"].values:
                at = result.sel(projection_pair=pair, layer=layer)
                means = [cell(at["mean_abs"].sel(group=group), ".3f") for group in groups]
                high = [cell(at["share_above_0.9"].sel(group=group), ".3f") for group in groups]
                rows.append((cell(str(pair)), cell(layer, "d"), *means, *high))
        header = (
            *("pair", "layer"),
            *(f"mean |cos|, {group}" for group in groups),
            *(f"share above 0.9, {group}" for group in groups),
        )
        caption = "Mean |cosine|, and the share of pairs of features with |cosine| above 0.9"
        caption += heads_note(result) + control_note(result)
        compared = contrast_table(result, "mean_abs", "Difference of mean |cosine| between groups")
        return [Table.of(caption, header, rows), *compared]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the first, the middle and the last layer, under shorter headings."""
        layers, groups = result.sizes["layer"], [str(group) for group in result["group"].values]
        table, *compared = self.tables(result.isel(layer=sorted({0, layers // 2, layers - 1})))
        means = (f"mean {group}" for group in groups)
        header = ("pair", "layer", *means, *(f">0.9 {group}" for group in groups))
        return [Table(table.caption, header, table.rows), *compared]

    def figures(self, result: xr.Dataset, subject: Subject, options: CosineOptions) -> Figures:
        """Return histograms, heat map, profile and the matrix of the deepest layer."""
        from actlas.analysis.cosine.figures import cosine_heatmap, cosine_layers, cosine_profile
        from actlas.analysis.cosine.findings import captions
        from actlas.analysis.cosine.matrix_figure import cosine_matrix

        word, matrix = options.target, self._matrix(subject, options).isel(layer=-1)
        drawn = {
            "": cosine_layers(result, word),
            "heatmap": cosine_heatmap(result, word),
            "profile": cosine_profile(result, word),
            "matrix": cosine_matrix(matrix, word),
        }
        noted = captions(result)
        return {kind: (figure, noted[kind]) for kind, figure in drawn.items()}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the histograms of one layer at a time, of all layers, and the profile."""
        from actlas.analysis.cosine import charts

        records = charts.histogram_records(result)
        return {
            "": charts.histogram_chart(result, records),
            "heatmap": charts.heat_chart(result, records),
            "profile": charts.profile_chart(result),
            "heads": charts.head_chart(result),
        }

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: CosineOptions
    ) -> None:
        """Draw the mean |cosine| of all pairs of projections over layers."""
        from actlas.analysis.cosine.figures import cosine_panel

        cosine_panel(axes, result, options.target)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how far features move together, first and last, beside controls and chance."""
        from actlas.analysis.cosine.findings import chance_line, ends, headline

        found = [headline(result), ends(result), chance_line(result)]
        found += apart(result, "mean_abs", "the mean |cosine|")
        undefined = int(result["undefined"].sum())
        if undefined:
            why = "zero, or constant with --center"
            found.append(f"{undefined} pairs of features had no cosine ({why})")
        return bracket_note(result, [*found, *self.compared(result, subject)])

    def large(self, subject: Subject, options: CosineOptions) -> dict[str, xr.DataArray]:
        """Return the whole matrix, if wanted."""
        return {"matrix": self._matrix(subject, options)} if options.save_matrix else {}

    def _matrix(self, subject: Subject, options: CosineOptions) -> xr.DataArray:
        from actlas.analysis.cosine.compute import cosine_matrix

        dataset = _chosen(subject, options)
        return cosine_matrix(dataset, self.groups(dataset, options), center=options.center)


def with_chance(result: xr.Dataset, groups: TokenGroups, *, center: bool) -> xr.Dataset:
    """Return ``result`` with ``chance`` (group): the mean |cosine| of unrelated features."""
    from actlas.analysis.groups.resampling import chance_cosine

    clusters = groups.summary()["group_clusters"].values.tolist()
    levels = [chance_cosine(count, center=center) for count in clusters]
    meaning = "mean |cosine| of unrelated features over as many independent clusters"
    return result.assign(chance=("group", levels, {"long_name": meaning}))


def _chosen(subject: Subject, options: CosineOptions) -> xr.Dataset:
    layers = subject.dataset["layer"].values.tolist()
    return subject.dataset.sel(layer=parse_layers(options.layers, layers))
