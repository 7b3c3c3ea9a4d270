"""Histograms as users meet them: ``actlas histogram``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlas.analysis.data.sites import DEEP_SITES
from actlas.analysis.declaring import (
    Caption,
    Options,
    PlannedRun,
    Study,
    Subject,
    Table,
    cell,
    option,
)
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.study import Figures
from actlas.store.errors import unknown

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

MEASURES = ("mean", "std", "skew", "share_zero", "outside", "distance")
SHOWN = 4  # layers in a terminal


@dataclass(frozen=True)
class HistogramOptions(Options):
    """Which values are counted, for which groups of tokens, on how many bins."""

    site: str = option("resid", help="Count the values of this site.", choices=DEEP_SITES)
    by: str | None = option(
        None,
        help="Count the sentences of each value of this column of the input apart.",
        metavar="COLUMN",
    )
    target: str | None = option(
        None, help="Count this word, and the token before it, apart.", metavar="WORD"
    )
    by_length: bool = option(False, help="Count short and long tokens apart, by their characters.")
    bins: int = option(
        60,
        help="Bins, equal, between the 0.1 % and the 99.9 % quantile of each layer.",
        bounds=(2, 2_000),
    )


class Histogram(Study[HistogramOptions]):
    """How the values of a site of RUN are distributed, layer by layer and by group of tokens.

    Every group is compared with the tokens that are not the first of their sentence: the
    Wasserstein-1 distance is how far values have to move, on average, for one histogram to become
    the other.
    """

    name = "histogram"
    help = "How the values of a site are distributed, layer by layer and by group of tokens."
    heading = "How values are distributed"
    question = (
        "Means and norms hide the shape: heavy tails, values that are exactly zero, groups of "
        "tokens that lie apart."
    )
    options = HistogramOptions
    numbers = MEASURES

    def check(self, options: HistogramOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a column that the sentences do not have."""
        if options.by is not None and options.by not in planned.columns:
            raise unknown("column", options.by, planned.columns)

    def sites(self, options: HistogramOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the site."""
        return (options.site,)

    def words(self, options: HistogramOptions) -> str:
        """Return site, column and word."""
        return " ".join(filter(None, (options.site, options.by, options.target)))

    def compute(self, subject: Subject, options: HistogramOptions) -> xr.Dataset:
        """Return counts, densities and moments by group and layer."""
        from actlas.analysis.data.groups import token_groups
        from actlas.analysis.data.tokens import Target, select_tokens
        from actlas.analysis.histogram.compute import length_groups, value_histogram

        dataset, selection = subject.dataset, None
        if options.target is not None:
            selection = select_tokens(dataset, Target(options.target))
        groups = dict(token_groups(dataset, by=options.by, selection=selection))
        if options.by_length:
            groups |= length_groups(dataset)
        return value_histogram(dataset[options.site], groups, bins=options.bins)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the moments, a row a layer and group."""
        place = _place(result)
        rows = []
        for at in result[place].values:
            for group in result["group"].values:
                here = result.sel({place: at, "group": group})
                numbers = [cell(here[name], ".3g") for name in MEASURES]
                rows.append((cell(at, "d"), cell(str(group)), *numbers))
        header = (place, "tokens", "mean", "std", "skew", "zeros", "outside", "distance")
        caption = "Values by group of tokens; distance: Wasserstein-1 to later tokens"
        return [Table.of(caption, header, rows)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return some of the layers."""
        place = _place(result)
        return self.tables(result.isel({place: spread_out(result.sizes[place], SHOWN)}))

    def figures(self, result: xr.Dataset, subject: Subject, options: HistogramOptions) -> Figures:
        """Return the histograms."""
        from actlas.analysis.histogram.figures import histograms

        caption = Caption(
            "Histograms by layer, a line for each group of tokens",
            "Look whether the tails are heavier than a parabola, which a normal distribution has "
            "here, and which group leaves the others, from which layer on.",
        )
        return {"": (histograms(result, options.site), caption)}

    def panel(
        self, axes: Axes, result: xr.Dataset, subject: Subject, options: HistogramOptions
    ) -> None:
        """Draw the histogram of the last layer or depth."""
        from actlas.analysis.histogram.figures import histogram_panel

        place = _place(result)
        histogram_panel(axes, result.isel({place: -1}), place, options.site)
        axes.legend(frameon=False, fontsize=8)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how the spread grows, and which group lies farthest from the others."""
        from actlas.analysis.data.groups import LATER

        place, site = _place(result), str(result.attrs["site"])
        later = result.sel(group=LATER)
        numbers, std = later[place].values, later["std"].values
        found = [
            f"{site}: standard deviation of later tokens {std[0]:.3g} at {place} {numbers[0]}, "
            f"{std[-1]:.3g} at {place} {numbers[-1]}"
        ]
        apart = result["distance"] / later["std"].where(later["std"] > 0)
        apart = apart.stack(at=("group", place))
        if bool(apart.notnull().any()):
            farthest = apart.isel(at=int(apart.fillna(-1).values.argmax()))
            found.append(
                f"farthest from later tokens: {farthest['group'].item()} at {place} "
                f"{int(farthest[place])}, {float(farthest):.3g} standard deviations on average"
            )
        return found


def _place(result: xr.Dataset) -> str:
    return "depth" if "depth" in result.dims else "layer"
