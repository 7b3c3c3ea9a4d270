"""The stages that a study file can ask for, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from actlas.scripts.analyses.bounds import check_bounds
from actlas.scripts.results.output import Destination
from actlas.scripts.study.stage import Edits, Finding, Stage, Subject
from actlas.scripts.study.variant_stages import Downstream, Scan
from actlas.scripts.terminal.options import parse_layers
from actlas.store.errors import unknown

if TYPE_CHECKING:
    from actlas.analysis.data.tokens import Target
    from actlas.analysis.reconstruction.laminar import Mask
    from actlas.pipeline.extraction.plan import Plan
    from actlas.scripts.analyses.cosine import CosineOptions
    from actlas.scripts.analyses.norms import NormOptions

PROJECTIONS = ("q", "k", "v")


@dataclass(frozen=True)
class _OfWord(Stage):
    target: str
    case: bool = False
    occurrence: str = "first"
    pool: str = "last"
    control: str = "previous"
    seed: int = 0

    needs = PROJECTIONS

    @property
    def word(self) -> Target:
        """Which tokens; raises UsageError for a choice that there is not."""
        from actlas.analysis.data.tokens import Target

        return Target(self.target, self.case, self.occurrence, self.pool, self.control, self.seed)  # type: ignore[arg-type]

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise TargetError where the word is not in the sentences."""
        import xarray as xr

        from actlas.analysis.data.tokens import select_tokens
        from actlas.store.reading.view import token_coordinates

        select_tokens(xr.Dataset(coords=token_coordinates(plan.tokens.labels)), self.word)


@dataclass(frozen=True)
class Variance(_OfWord):
    """``actlas variance``."""

    bootstrap: int = 0

    title = "variance"

    def __post_init__(self) -> None:
        """Raise UsageError for options that are none."""
        check_bounds(bootstrap=self.bootstrap, seed=self.seed)
        _ = self.word

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the word and the resamples."""
        return {**asdict(self.word), "bootstrap": self.bootstrap}

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Compute the variances."""
        from actlas.scripts.analyses.variance import variance_study

        _, output, summary = variance_study(subject.run, self.word, out, self.bootstrap)
        return Finding(output, summary)


@dataclass(frozen=True)
class Cosine(_OfWord):
    """``actlas cosine``."""

    bins: int = 100
    center: bool = False
    layers: str | None = None
    save_matrix: bool = False

    title = "cosine"

    def __post_init__(self) -> None:
        """Raise UsageError for options that are none."""
        check_bounds(bins=self.bins, seed=self.seed)
        _ = self.word

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError for a word or a layer that is not there."""
        super().check(plan, edits)
        parse_layers(self.layers, range(plan.model.geometry.n_layer))

    @property
    def options(self) -> CosineOptions:
        """Options of the command."""
        from actlas.scripts.analyses.cosine import CosineOptions

        return CosineOptions(self.bins, self.center, self.layers, self.save_matrix)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the word and how cosines are counted."""
        return {**asdict(self.word), **asdict(self.options)}

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Count the cosines."""
        from actlas.scripts.analyses.cosine import cosine_study

        _, output, summary = cosine_study(subject.run, self.word, self.options, out)
        return Finding(output, summary)


@dataclass(frozen=True)
class Reconstruct(Stage):
    """``actlas reconstruct``."""

    pair: str | None = None
    quantile: float | None = None
    threshold: float | None = None
    exclude_first_token: bool = False

    title = "reconstruct"
    needs = ("resid", "attn_out", "mlp_out")

    def __post_init__(self) -> None:
        """Raise UsageError for options that are none."""
        _ = self.mask

    @property
    def mask(self) -> Mask:
        """Which entries take part in the correlation of depths."""
        from actlas.analysis.reconstruction.laminar import Mask

        quantile = 0.99 if self.quantile is None and self.threshold is None else self.quantile
        return Mask(quantile, self.threshold, first_token=not self.exclude_first_token)

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError for a pair of depths that the model does not have."""
        from actlas.scripts.analyses.reconstruct import parse_pair

        parse_pair(self.pair, plan.model.geometry.n_layer)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the mask, the pair that is drawn, and which sums there are."""
        from actlas.scripts.analyses.reconstruct import parse_pair, summed_sites

        pair = parse_pair(self.pair, subject.run.description["model"]["layer"])
        return {
            **asdict(self.mask),
            "pair": pair,
            "sites": summed_sites(subject.run),
            "checked": True,
        }

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Compute sums and correlations, and judge."""
        from actlas.scripts.analyses.reconstruct import (
            parse_pair,
            reconstruction_study,
            verdict_line,
        )

        pair = parse_pair(self.pair, subject.run.description["model"]["layer"])
        result, output, edited = reconstruction_study(subject.run, self.mask, pair, out)
        wrong, verdict = verdict_line(result, subject.run, edited)
        return Finding(output, verdict, not wrong)


@dataclass(frozen=True)
class Norms(Stage):
    """``actlas norms``."""

    sites: tuple[str, ...] = ()
    by: str | None = None
    target: str | None = None
    outliers: int = 0

    title = "norms"

    def __post_init__(self) -> None:
        """Raise UsageError for options that are none."""
        from actlas.analysis.norms.compute import VECTOR_SITES
        from actlas.pipeline.models.hook_names import site_names

        check_bounds(outliers=self.outliers)
        object.__setattr__(self, "sites", site_names(self.sites))
        for site in self.sites:
            if site not in VECTOR_SITES:
                raise unknown("site of vectors", site, VECTOR_SITES)

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError for a column that the sentences do not have."""
        if self.by is not None and self.by not in plan.tokens.labels.columns:
            raise unknown("column", self.by, plan.tokens.labels.columns)

    def options(self, subject: Subject) -> NormOptions:
        """Return the options of the command, the sites named."""
        from actlas.scripts.analyses.norms import NormOptions, measured_sites

        chosen = NormOptions(self.sites, self.by, self.target, self.outliers)
        return NormOptions(measured_sites(subject.run, chosen), self.by, self.target, self.outliers)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return what is measured: of a run that has a further site by now, more."""
        return asdict(self.options(subject))

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Measure."""
        from actlas.scripts.analyses.norms import norm_study

        options = self.options(subject)
        _, output = norm_study(subject.run, options, out)
        return Finding(output, f"{len(options.sites)} sites: {' '.join(options.sites)}")


STAGES: dict[str, type[Stage]] = {
    stage.title: stage for stage in (Variance, Cosine, Reconstruct, Norms, Scan, Downstream)
}
