"""The stages that a study file can ask for: each a command's study with its options, and when its result is still good.

A stage is a frozen dataclass; its fields are the keys of its table in the study file.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from actlas.scripts.options import parse_layers
from actlas.scripts.output import Output
from actlas.store.errors import UsageError, unknown
from actlas.store.run import Run

if TYPE_CHECKING:
    from actlas.analysis.laminar import Mask
    from actlas.analysis.tokens import Target
    from actlas.pipeline.plan import Plan
    from actlas.scripts.cosine import CosineOptions
    from actlas.scripts.norms import NormOptions

PROJECTIONS = ("q", "k", "v")


@dataclass(frozen=True)
class Subject:
    """What a stage studies: a run and, by the text of their edits, the variants of it that the study asks for."""

    run: Run
    variants: Mapping[str, Run]


@dataclass(frozen=True)
class Finding:
    """What a stage wrote, a line on it, and whether what it checks holds."""

    output: Output
    summary: str
    holds: bool = True


class Stage(ABC):
    """An analysis with its options."""

    title: ClassVar[str]  # how results call it: file, attribute, command
    needs: ClassVar[tuple[str, ...]] = ()  # sites of the run
    needs_edits: ClassVar[bool] = False

    def check(self, plan: Plan, edits: Sequence[str]) -> None:  # noqa: B027 - most that can be wrong is known without a plan
        """Raise UsageError for options that the model, the sentences or the edits of the run do not allow."""

    def runs(self, subject: Subject) -> list[Run]:
        """Return the runs that the result is of, in the order in which it names them."""
        return [subject.run]

    @abstractmethod
    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return what the result says of the options, or part of it: another value, another result."""

    @abstractmethod
    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Compute, and write result and figures to ``out``."""


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
        from actlas.analysis.tokens import Target

        return Target(self.target, self.case, self.occurrence, self.pool, self.control, self.seed)  # type: ignore[arg-type]

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise TargetError where the word is not in the sentences."""
        import xarray as xr

        from actlas.analysis.tokens import select_tokens

        labels = plan.tokens.labels
        tokens = {name: ("token", array) for name, array in labels.token.items()}
        select_tokens(xr.Dataset(coords={**tokens, "text": ("sentence", list(labels.text))}), self.word)


@dataclass(frozen=True)
class Variance(_OfWord):
    """``actlas variance``."""

    bootstrap: int = 0

    title = "variance"

    def __post_init__(self) -> None:
        """Raise UsageError for options that are none."""
        _at_least(0, bootstrap=self.bootstrap)
        _ = self.word

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the word and the resamples."""
        return {**asdict(self.word), "bootstrap": self.bootstrap}

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Compute the variances."""
        from actlas.scripts.variance import variance_study

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
        _at_least(1, bins=self.bins)
        _ = self.word

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise UsageError for a word or a layer that is not there."""
        super().check(plan, edits)
        parse_layers(self.layers, range(plan.model.geometry.n_layer))

    @property
    def options(self) -> CosineOptions:
        """Options of the command."""
        from actlas.scripts.cosine import CosineOptions

        return CosineOptions(self.bins, self.center, self.layers, self.save_matrix)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the word and how cosines are counted."""
        return {**asdict(self.word), **asdict(self.options)}

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Count the cosines."""
        from actlas.scripts.cosine import cosine_study

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
        from actlas.analysis.laminar import Mask

        quantile = 0.99 if self.quantile is None and self.threshold is None else self.quantile
        return Mask(quantile, self.threshold, first_token=not self.exclude_first_token)

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise UsageError for a pair of depths that the model does not have."""
        from actlas.scripts.reconstruct import parse_pair

        parse_pair(self.pair, plan.model.geometry.n_layer)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return the mask, the pair that is drawn, and which sums there are."""
        from actlas.scripts.reconstruct import parse_pair, summed_sites

        pair = parse_pair(self.pair, subject.run.description["model"]["layer"])
        return {**asdict(self.mask), "pair": pair, "sites": summed_sites(subject.run)}

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Compute sums and correlations, and judge."""
        from actlas.scripts.reconstruct import parse_pair, reconstruction_study, verdict_line

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
        from actlas.analysis.norms import VECTOR_SITES

        _at_least(0, outliers=self.outliers)
        for site in self.sites:
            if site not in VECTOR_SITES:
                raise unknown("site of vectors", site, VECTOR_SITES)

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise UsageError for a column that the sentences do not have."""
        if self.by is not None and self.by not in plan.tokens.labels.columns:
            raise unknown("column", self.by, plan.tokens.labels.columns)

    def options(self, subject: Subject) -> NormOptions:
        """Return the options of the command, the sites named."""
        from actlas.scripts.norms import NormOptions, measured_sites

        chosen = NormOptions(self.sites, self.by, self.target, self.outliers)
        return NormOptions(measured_sites(subject.run, chosen), self.by, self.target, self.outliers)

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return what is measured: of a run that has a further site by now, more."""
        return asdict(self.options(subject))

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Measure."""
        from actlas.scripts.norms import norm_study

        options = self.options(subject)
        _, output = norm_study(subject.run, options, out)
        return Finding(output, f"{len(options.sites)} sites: {' '.join(options.sites)}")


@dataclass(frozen=True)
class Scan(Stage):
    """``actlas scan``."""

    title = "scan"
    needs = ("resid", "nll")
    needs_edits = True

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise UsageError where no block is skipped."""
        if not any(edit.startswith("skip:") for edit in edits):
            raise UsageError('the run skips no block: give it edits = ["skip:block=*"]')

    def runs(self, subject: Subject) -> list[Run]:
        """Return the run and its variants that skip a block."""
        from actlas.scripts.scan import skipped_blocks

        return [subject.run, *skipped_blocks(subject.run).values()]

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return nothing: the runs say it all."""
        return {}

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Rank the blocks."""
        from actlas.scripts.scan import scan_study

        result, output = scan_study(subject.run, out)
        ranked = result["nll_change"].sortby(result["nll_change"])
        least, most = (f"block {int(end['layer'])} ({float(end):+.3g} nats)" for end in (ranked[0], ranked[-1]))
        return Finding(output, f"{ranked.size} blocks: skipping {most} costs most, {least} least")


@dataclass(frozen=True)
class Downstream(Stage):
    """``actlas downstream``."""

    edits: tuple[str, ...] = ("*",)
    include_first_token: bool = False

    title = "downstream"
    needs = ("resid",)
    needs_edits = True

    def check(self, plan: Plan, edits: Sequence[str]) -> None:
        """Raise UsageError for a pattern that no edit of the run matches."""
        for pattern in self.edits:
            if not any(_matches(edit, pattern) for edit in edits):
                raise unknown("edit", pattern, edits)

    def runs(self, subject: Subject) -> list[Run]:
        """Return the run and the variants that are compared with it."""
        return [subject.run, *self._variants(subject)]

    def _variants(self, subject: Subject) -> list[Run]:
        """Return the variants in the order of the study file, each once."""
        found = {run.id: run for pattern in self.edits for edit, run in subject.variants.items() if _matches(edit, pattern)}
        return list(found.values())

    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return whether first tokens count."""
        return {"include_first_token": self.include_first_token}

    def carry_out(self, subject: Subject, out: Path) -> Finding:
        """Compare."""
        from actlas.scripts.downstream import downstream_study

        variants = self._variants(subject)
        result, output = downstream_study(variants, self.include_first_token, out)
        loss = ""
        if "nll_change" in result:
            changes = result["nll_change"].values
            loss = f", change of loss {changes.min():+.3g} to {changes.max():+.3g} nats" if changes.size > 1 else ""
            loss = loss or f", change of loss {changes[0]:+.3g} nats"
        return Finding(output, f"{len(variants)} {'variant' if len(variants) == 1 else 'variants'}{loss}")


STAGES: dict[str, type[Stage]] = {stage.title: stage for stage in (Variance, Cosine, Reconstruct, Norms, Scan, Downstream)}


def is_current(stage: Stage, subject: Subject, result: Path) -> bool:
    """Whether ``result`` is what ``stage`` would compute: of the same runs and options, by this version of actlas."""
    import importlib.metadata

    import xarray as xr

    try:
        with xr.open_dataset(result, engine="h5netcdf") as opened:
            attributes = dict(opened.attrs)
    except (OSError, ValueError, RuntimeError):  # not there, or no such file: it will be replaced
        return False
    try:
        options, software = (json.loads(attributes[name]) for name in ("options", "software"))
        wanted = json.loads(json.dumps(stage.recorded(subject)))
        return bool(
            attributes["stage"] == stage.title
            and attributes["runs"].split() == [run.id for run in stage.runs(subject)]
            and {name: options[name] for name in wanted} == wanted
            and software["actlas"] == importlib.metadata.version("actlas")
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # of another program, or of an older actlas
        return False


def _matches(edit: str, pattern: str) -> bool:
    """Whether a variant's edits, or one of them, are as a pattern has them."""
    return any(each == pattern or fnmatchcase(each, pattern) for each in (edit, *edit.split()))


def _at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise UsageError(f"{name} is {number}, wanted {least} or more")
