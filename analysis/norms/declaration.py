"""Study 2, sizes, as users meet it: ``actlas norms``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from actlas.analysis.data.sites import VECTOR_SITES
from actlas.analysis.declaring import Caption, Options, PlannedRun, Study, Subject, Table
from actlas.analysis.declaring import option as option
from actlas.analysis.declaring.laws import ADD, PARALLEL, POST, SUMS, no_sum
from actlas.analysis.declaring.study import Figures
from actlas.store.errors import UsageError, unknown

if TYPE_CHECKING:
    import xarray as xr

    from actlas.analysis.declaring.study import Axes

#: what a step of the stream is, by law
STEPS = {
    ADD: "A step is what attention adds, and then the MLP, which reads the sum. ",
    PARALLEL: "A step is what attention and MLP add, which read the same input. ",
    POST: "A step is all that a block changes, the LayerNorms behind its two sums included; "
    "nothing therefore has a share of the stream. ",
}
CAPTIONS = {
    "": Caption(
        "The residual stream: norms, what is written into it, steps and shares",
        "Look how the stream grows, which of attention and MLP writes more of it, and where a "
        "share is below zero: there the writer takes away what was there.",
    ),
    "sites": Caption(
        "Norm of a token's vector at every site",
        "Look for a site whose largest values leave its quartiles far behind: these are outliers.",
    ),
    "groups": Caption(
        "Norms by group of tokens",
        "Look whether a group lies apart from the others, and from which depth on.",
    ),
}


@dataclass(frozen=True)
class NormOptions(Options):
    """What is measured, and for which groups of tokens."""

    sites: tuple[str, ...] = option(
        (),
        help="Measure this site; may be repeated.  [default: all stored]",
        metavar="SITE",
        flag="--site",
        sites=True,
    )
    by: str | None = option(
        None,
        help="Measure the sentences of each value of this column of the input apart.",
        metavar="COLUMN",
    )
    target: str | None = option(
        None, help="Measure this word, and the token before it, apart.", metavar="WORD"
    )
    outliers: int = option(
        0,
        help="List the N dimensions with the largest values, and where.",
        bounds=(0, 100_000),
        metavar="N",
    )

    def __post_init__(self) -> None:
        """Raise UsageError for a site that is no vector of a token too."""
        super().__post_init__()
        if self.sites:
            for site in self.sites:
                if site not in VECTOR_SITES:
                    raise unknown("site of vectors", site, VECTOR_SITES)


class Norms(Study[NormOptions]):
    """How large the vectors of each site of RUN are, over its tokens, layer by layer.

    With `resid`: how far each layer moves the residual stream, and how widely it spreads; with
    `attn_out` and `mlp_out` too, which share of it attention and MLP have written. The first token
    of each sentence is a group of its own.
    """

    name = "norms"
    help = "How large activations are, layer by layer, and who writes the residual stream."
    heading = "How large activations are"
    question = (
        "Sizes decide what a layer can move. The first token of a sentence is shown apart: in "
        "causal models it is often much larger."
    )
    options = NormOptions
    numbers = ("tokens", "norm_resid", "step", "std", "share")

    def check(self, options: NormOptions, planned: PlannedRun) -> None:
        """Raise UsageError for a column that the sentences do not have."""
        if options.by is not None and options.by not in planned.columns:
            raise unknown("column", options.by, planned.columns)

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

    def words(self, options: NormOptions) -> str:
        """Return column and word."""
        return " ".join(word for word in (options.by, options.target) if word)

    def compute(self, subject: Subject, options: NormOptions) -> xr.Dataset:
        """Return norms of every site by group of tokens, and of the stream steps and shares."""
        from actlas.analysis.data.groups import token_groups
        from actlas.analysis.data.tokens import Target, select_tokens
        from actlas.analysis.norms.compute import norm_profile
        from actlas.analysis.norms.outliers import outliers

        dataset, selection = subject.dataset, None
        if options.target is not None:
            selection = select_tokens(dataset, Target(options.target))
        groups = token_groups(dataset, by=options.by, selection=selection)
        result = norm_profile(dataset, groups, sums=subject.law in SUMS)
        if options.outliers:
            result = result.merge(outliers(dataset["resid"], options.outliers))
        return result

    def tables(self, result: xr.Dataset) -> list[Table]:
        """Return the norms of each site, and the outliers."""
        from actlas.analysis.norms.tables import outlier_tables, site_table

        names = [str(name) for name in result if str(name).startswith("norm_")]
        return [*(site_table(result, name) for name in names), *outlier_tables(result)]

    def overview(self, result: xr.Dataset, subject: Subject) -> list[Table]:
        """Return the residual stream by depth, without it the norms of each site; and outliers."""
        from actlas.analysis.norms.tables import outlier_tables, sites_table, stream_table

        main = stream_table(result) if "norm_resid" in result else sites_table(result)
        return [main, *outlier_tables(result, subject.token_text)]

    def figures(self, result: xr.Dataset, subject: Subject, options: NormOptions) -> Figures:
        """Return the stream, every site by layer, and groups."""
        from actlas.analysis import plots

        # the others have one place in the model
        deep = [str(site) for site, array in subject.dataset.items() if array.dims[0] != "token"]
        drawn = {}
        if "norm_resid" in result:
            drawn[""] = plots.norm_stream(result, subject.law)
        if deep:
            drawn["sites"] = plots.norm_sites(result)
        if deep and (options.by or options.target):
            drawn["groups"] = plots.norm_groups(result, deep[0])
        captions = CAPTIONS | {"": _stream_caption(subject.law)}
        return {kind: (figure, captions[kind]) for kind, figure in drawn.items()}

    def panel(self, axes: Axes, result: xr.Dataset, subject: Subject, options: NormOptions) -> None:
        """Draw the norms of the residual stream over depths, or those of the first site."""
        from actlas.analysis import plots

        plots.norm_panel(axes, result)

    def findings(self, result: xr.Dataset, subject: Subject) -> list[str]:
        """Say how the residual stream grows, and how far first tokens are from the others."""
        from actlas.analysis.data.groups import FIRST, LATER

        sites = [str(name)[5:] for name in result if str(name).startswith("norm_")]
        found = [f"{len(sites)} site{'s' if len(sites) > 1 else ''}: {' '.join(sites)}"]
        if "norm_resid" in result:
            medians = result["norm_resid"].sel(statistic="median")
            later, first = medians.sel(group=LATER), medians.sel(group=FIRST)
            depth, times = medians["depth"].values, first / later
            found.append(
                f"median norm of the residual stream: {float(later[0]):.3g} at depth {depth[0]}, "
                f"{float(later[-1]):.3g} at depth {depth[-1]}; of first tokens up to "
                f"{float(times.max()):.3g} times that of later ones"
            )
        why_not = no_sum(subject.law)
        if "norm_resid" in result and why_not:
            found.append(f"no shares of what attention and MLP write: {why_not}")
        return found


def _stream_caption(law: str) -> Caption:
    caption = CAPTIONS[""]
    if law not in SUMS:
        title = "The residual stream: norms, what attention and MLP write, steps"
        return Caption(title, STEPS.get(law, "") + "Look where a step or a norm leaves the others.")
    return Caption(caption.title, STEPS.get(law, "") + caption.note)
