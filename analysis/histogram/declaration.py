"""Histograms as users meet them: ``actlas histogram``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from actlas.analysis.data.sites import DEEP_SITES
from actlas.analysis.declaring import Subject, Table, cell, option
from actlas.analysis.declaring.group_tables import (
    apart,
    contrast_table,
    control_note,
    whole_group,
    with_groups,
)
from actlas.analysis.declaring.groups import GroupOptions, GroupStudy, first_token_option
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.study import Charts, Figures

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.groups.choice import GroupChoice

MEASURES = ("mean", "std", "skew", "share_zero", "outside", "distance")
SHOWN = 4  # layers in a terminal
DIGITS = 12  # of a share
POOLED = "values are counted token by token, as they are stored: of a word, its last"


@dataclass(frozen=True)
class HistogramOptions(GroupOptions):
    """Which values are counted, for which groups of tokens, on how many bins."""

    refused: ClassVar[Mapping[str, str]] = {"pool": POOLED}

    site: str = option("resid", help="Count the values of this site.", choices=DEEP_SITES)
    first_token: str = first_token_option("group")
    by_length: bool = option(False, help="Count short and long tokens apart, by their characters.")
    bins: int = option(
        60,
        help="Bins, equal, between the 0.1 % and the 99.9 % quantile of each layer.",
        bounds=(2, 2_000),
    )

    @property
    def named(self) -> bool:
        """Whether any group was asked for."""
        return super().named or self.by_length

    def choice(self, *, every: bool) -> GroupChoice:
        """Return what was chosen, lengths of tokens among it."""
        return replace(super().choice(every=every), lengths=self.by_length)


class Histogram(GroupStudy[HistogramOptions]):
    """How the values of a site of RUN are distributed, layer by layer and by group of tokens.

    Every group is compared with all tokens that are looked at: the
    Wasserstein-1 distance is how far values have to move, on average, for one histogram to become
    the other.
    """

    name = "histogram"
    help = "How the values of a site are distributed, layer by layer and by group of tokens."
    heading = "How are values distributed?"
    question = (
        "Means and norms hide the shape: heavy tails, values that are exactly zero, groups of "
        "tokens that lie apart."
    )
    examples = ("actlas histogram her-demo --store actlas-demo/store --site resid",)
    options = HistogramOptions
    numbers = (
        *MEASURES,
        "mean_interval",
        "mean_contrast",
        "mean_contrast_interval",
        "group_distance",
    )

    def sites(self, options: HistogramOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the site."""
        return (options.site,)

    def words(self, options: HistogramOptions) -> str:
        """Return the site, and what groups are of."""
        return " ".join(filter(None, (options.site, super().words(options))))

    def compute(self, subject: Subject, options: HistogramOptions) -> xr.Dataset:
        """Return counts, densities and moments by group and layer."""
        from actlas.analysis.groups.resampling import with_contrasts, with_intervals
        from actlas.analysis.histogram.compute import flattened, mean_value_draws, value_histogram
        from actlas.analysis.histogram.distances import group_distances

        values = subject.dataset[options.site]
        groups = self.groups(subject.dataset, options)
        result, drawn = value_histogram(values, groups, bins=options.bins), None
        if groups.named:
            drawn = options.resampling(groups.named)
        if drawn is None:
            result = with_contrasts(result, "mean", groups.contrasts)
        else:
            draws = mean_value_draws(values, groups.named, drawn)
            result = with_intervals(result, "mean", draws, groups.contrasts)
            if groups.contrasts:
                chosen = groups.named, groups.contrasts, drawn
                edges, plain = result["bin_edge"].values, flattened(values)
                result = result.assign(
                    group_distances(plain, edges, *chosen, seed=options.seed).data_vars
                )
        return with_groups(result, groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the moments, a row a layer and group."""
        place, rows = _place(result), []
        for at in result[place].values:
            for group in result["group"].values:
                here = result.sel({place: at, "group": group})
                # what is left of 1 by rounding is no value outside
                here = here.assign(outside=here["outside"].round(DIGITS))
                numbers = [cell(here[name], ".3g") for name in MEASURES]
                rows.append((cell(at, "d"), cell(str(group)), *numbers))
        header = (place, "tokens", "mean", "std", "skew", "zeros", "outside", "distance")
        caption = (
            f"Values of {result.attrs.get('site', 'a site')} by group of tokens; zeros, outside: "
            "share of values that are 0, or lie outside the bins; distance: Wasserstein-1 to "
            f"{whole_group(result)}, in the unit of the values{control_note(result)}"
        )
        compared = contrast_table(result, "mean", "Difference of the mean value between groups")
        return [Table.of(caption, header, rows), *compared, *_distance_table(result, place)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers."""
        place = _place(result)
        return self.tables(result.isel({place: spread_out(result.sizes[place], SHOWN)}))

    def figures(self, result: xr.Dataset, subject: Subject, options: HistogramOptions) -> Figures:
        """Return the histograms, and how far groups lie apart where two are compared."""
        from actlas.analysis.histogram.figures import group_distances, histograms
        from actlas.analysis.histogram.findings import caption, distance_caption

        place = _place(result)
        drawn = {"": (histograms(result, options.site), caption(result, place))}
        if "group_distance" in result:
            noted = distance_caption(result, place)
            drawn["distance"] = (group_distances(result, options.site), noted)
        return drawn

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the histograms, a layer or depth at a time, and how far groups lie apart."""
        from actlas.analysis.histogram.charts import distance_chart, value_chart

        site = str(result.attrs["site"])
        apart = {"distance": distance_chart(result, site)} if "group_distance" in result else {}
        return {"": value_chart(result, site), **apart}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: HistogramOptions
    ) -> None:
        """Draw the histogram of the last layer or depth."""
        from actlas.analysis.histogram.figures import histogram_panel

        place = _place(result)
        histogram_panel(axes, result.isel({place: -1}), place, options.site)
        axes.legend(frameon=False, fontsize=8)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how the spread goes, where groups lie apart, which is farthest off."""
        from actlas.analysis.histogram.findings import (
            beyond_chance,
            farthest,
            headline,
            spread,
            tails,
        )

        place = _place(result)
        first, whole = headline(result, place), spread(result, place)
        found = [first, *([whole] if whole != first else []), *farthest(result, place)]
        found += [
            *tails(result, place),
            *apart(result, "mean", f"the mean value of {result.attrs['site']}"),
        ]
        return [*found, *beyond_chance(result, place), *result.attrs.get("group_notes", [])]


def _distance_table(result: xr.Dataset, place: str) -> list[Table]:
    if "group_distance" not in result:
        return []
    names, rows = ("group_distance", "group_distance_chance", "group_distance_chance_upper"), []
    for contrast in result["contrast"].values:
        for at in result[place].values:
            here = result.sel({"contrast": contrast, place: at})
            rows.append(
                (
                    cell(str(contrast).replace(":", " − ")),
                    cell(at, "d"),
                    *(cell(here[name], ".3g") for name in names),
                )
            )
    header = ("contrast", place, "distance", "by chance", "95 % of chance below")
    caption = "Wasserstein-1 distance between groups, and between random groups of their clusters"
    return [Table.of(caption + control_note(result), header, rows)]


def _place(result: xr.Dataset) -> str:
    return "depth" if "depth" in result.dims else "layer"
