"""Study 2, sizes, as users meet it: ``actlas norms``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from actlas.analysis.data.sites import VECTOR_SITES
from actlas.analysis.declaring import Subject, Table
from actlas.analysis.declaring import option as option
from actlas.analysis.declaring.group_tables import apart, contrast_table, with_groups
from actlas.analysis.declaring.groups import GroupOptions, GroupStudy, first_token_option
from actlas.analysis.declaring.laws import SUMS, no_sum
from actlas.analysis.declaring.layers import spread_out
from actlas.analysis.declaring.options import WRITTEN
from actlas.analysis.declaring.study import Charts, Figures
from actlas.store.errors import UsageError, unknown

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes
    from actlas.analysis.groups.token_groups import TokenGroups

SHOWN = 5  # depths of a comparison in a terminal
POOLED = "tokens are measured one by one, as they are stored: of a word, its last"


@dataclass(frozen=True)
class NormOptions(GroupOptions):
    """What is measured, and for which groups of tokens."""

    refused: ClassVar[Mapping[str, str]] = {"pool": POOLED}

    sites: tuple[str, ...] = option(
        (),
        help="Measure this site; may be repeated.  [default: all stored]",
        metavar="SITE",
        flag="--site",
        sites=True,
    )
    first_token: str = first_token_option("group")
    outliers: int = option(
        0,
        help="List the N dimensions with the largest values, and where.",
        bounds=(0, 100_000),
        metavar="N",
        heading=WRITTEN,
    )

    def __post_init__(self) -> None:
        """Raise UsageError for a site that is no vector of a token too."""
        super().__post_init__()
        if self.sites:
            for site in self.sites:
                if site not in VECTOR_SITES:
                    raise unknown("site of vectors", site, VECTOR_SITES)


class Norms(GroupStudy[NormOptions]):
    """How large the vectors of each site of RUN are, over its tokens, layer by layer.

    With `resid`: how far each layer moves the residual stream, and how widely it spreads; with
    `attn_out` and `mlp_out` too, which share of it attention and MLP have written. The first token
    of each sentence is a group of its own, unless `--first-token` says otherwise.
    """

    name = "norms"
    help = "How large activations are, layer by layer, and who writes the residual stream."
    heading = "How large are activations, and who writes the stream?"
    question = (
        "Sizes decide what a layer can move. The first token of a sentence is shown apart: in "
        "causal models it is often much larger."
    )
    examples = ("actlas norms her-demo --store actlas-demo/store --outliers 5",)
    options = NormOptions
    numbers = (
        *("tokens", "norm_resid", "step", "std", "share", "mean_norm_resid"),
        *("mean_norm_resid_interval", "mean_norm_resid_contrast"),
    )

    def sites(self, options: NormOptions, stored: Sequence[str], run: str) -> tuple[str, ...]:
        """Return the sites that are chosen, all of vectors that are stored where none is."""
        sites = options.sites or tuple(site for site in VECTOR_SITES if site in stored)
        if not sites:
            raise UsageError(
                f"run {run} has no site to measure in all its units: "
                "`actlas extract … --site resid` adds one"
            )
        if options.outliers and "resid" not in sites:
            raise UsageError(
                "--outliers are of the residual stream: `actlas extract … --site resid` adds it, "
                "--site resid chooses it"
            )
        return tuple(site for site in VECTOR_SITES if site in sites)

    def recorded(self, options: NormOptions, sites: tuple[str, ...]) -> dict[str, Any]:
        """Return the sites too: of a run that has a further site by now, another result."""
        return {**asdict(options), "sites": sites}

    def compute(self, subject: Subject, options: NormOptions) -> xr.Dataset:
        """Return norms of every site by group of tokens, and of the stream steps and shares."""
        from actlas.analysis.norms.compute import norm_profile
        from actlas.analysis.norms.outliers import outliers

        dataset = subject.dataset
        groups = self.groups(dataset, options)
        result = norm_profile(dataset, groups, sums=subject.law in SUMS)
        if groups.named:
            result = _with_means(result, dataset, groups.named, options)
        if options.outliers:
            found = outliers(dataset["resid"], options.outliers, subject.token_text)
            result = result.merge(found)
        return with_groups(result, groups)

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the norms of each site, and the outliers."""
        from actlas.analysis.norms.tables import outlier_tables, site_table

        names = [str(name) for name in result if str(name).startswith("norm_")]
        tables = [site_table(result, name) for name in names]
        for name in names:
            caption = f"Difference of the mean norm of {name.removeprefix('norm_')} between groups"
            tables += contrast_table(result, f"mean_{name}", caption)
        return [*tables, *outlier_tables(result)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the residual stream by depth, without it the norms of each site; and outliers."""
        from actlas.analysis.norms.tables import outlier_tables, sites_table, stream_table

        main = stream_table(result) if "norm_resid" in result else sites_table(result)
        compared = []
        if "mean_norm_resid" in result:
            some = result.isel(depth=spread_out(result.sizes["depth"], SHOWN))
            compared = contrast_table(some, "mean_norm_resid", "Difference of the mean norm")
        return [main, *compared, *outlier_tables(result)]

    def figures(self, result: xr.Dataset, subject: Subject, options: NormOptions) -> Figures:
        """Return the stream, every site by layer, and groups."""
        from actlas.analysis.norms.figures import norm_groups, norm_sites, norm_stream
        from actlas.analysis.norms.findings import captions

        # the others have one place in the model
        deep = [str(site) for site, array in subject.dataset.items() if array.dims[0] != "token"]
        drawn = {}
        if "norm_resid" in result:
            drawn[""] = norm_stream(result, subject.law)
        if deep:
            drawn["sites"] = norm_sites(result)
        if deep and options.named:
            drawn["groups"] = norm_groups(result, deep[0])
        noted = captions(result, subject.law)
        return {kind: (figure, noted[kind]) for kind, figure in drawn.items()}

    def charts(self, result: xr.Dataset) -> Charts:
        """Return the stream, every site by layer, and groups."""
        from actlas.analysis.norms.charts import group_chart, site_chart, stream_chart

        names = [str(name) for name in result if str(name).startswith("norm_")]
        deep = [name for name in names if {"layer", "depth"} & set(result[name].dims)]
        found = {"": stream_chart(result)} if "norm_resid" in result else {}
        if deep:
            found["sites"] = site_chart(result)
        if deep and f"mean_{deep[0]}" in result:
            found["groups"] = group_chart(result, deep[0].removeprefix("norm_"))
        return found

    def panel(self, axes: Axes, result: xr.Dataset, subject: Subject, options: NormOptions) -> None:
        """Draw the norms of the residual stream over depths, or those of the first site."""
        from actlas.analysis.norms.figures import norm_panel

        norm_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how the residual stream grows, who writes it, and where groups lie apart."""
        from actlas.analysis.norms.findings import headline, sites_line, steepest, writers

        found = [headline(result), *steepest(result), *writers(result)]
        why_not = no_sum(subject.law)
        if "norm_resid" in result and why_not:
            found.append(f"no shares of what attention and MLP write: {why_not}")
        for name in (str(name) for name in result if str(name).startswith("norm_")):
            found += apart(result, f"mean_{name}", f"the mean norm of {name.removeprefix('norm_')}")
        return [*found, sites_line(result), *result.attrs.get("group_notes", [])]


def _with_means(
    result: xr.Dataset, dataset: xr.Dataset, groups: TokenGroups, options: NormOptions
) -> xr.Dataset:
    """Return ``result`` with ``mean_norm_<site>`` of the named groups, intervals and contrasts."""
    from actlas.analysis.groups.resampling import with_contrasts, with_intervals
    from actlas.analysis.norms.compute import norm_draws

    drawn = options.resampling(groups)
    names = [str(name) for name in result if str(name).startswith("norm_")]
    for name in names:
        mean, site = result[name].sel(statistic="mean", drop=True), name.removeprefix("norm_")
        mean.attrs["long_name"] = f"mean over tokens of: {result[name].attrs['long_name']}"
        result[f"mean_{name}"] = mean
        if drawn is None:
            result = with_contrasts(result, f"mean_{name}", groups.contrasts)
        else:
            draws = norm_draws(dataset[site], groups, drawn)
            result = with_intervals(result, f"mean_{name}", draws, groups.contrasts)
    return result
