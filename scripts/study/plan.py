"""The plan of a study: its runs with their variants, and its analyses, checked against them.

All of it before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actlas.pipeline.edits.grid import expand
from actlas.pipeline.edits.spec import Edit, in_order, parse_edit
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import plan_variants
from actlas.pipeline.models.folder import DEMO
from actlas.pipeline.models.hook_names import check_layers, site_names
from actlas.pipeline.models.sites import DEFAULT_SITES, SITES
from actlas.scripts.commands.sweep import SWEEP_SITES
from actlas.scripts.extraction.engine import OneProcess
from actlas.scripts.extraction.kept import kept_numbers
from actlas.scripts.extraction.request import Request, echo_skipped, plan_request, special_choice
from actlas.scripts.study.file import Input, Study, sentence_file
from actlas.scripts.study.stage import Edits, Subject
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, UsageError
from actlas.store.format.edit_records import edits_text


@dataclass(frozen=True)
class Planned:
    """A run of a study and its variants before they are computed."""

    request: Request
    plan: Plan
    variants: tuple[Plan, ...]

    @property
    def stored(self) -> bool:
        """Whether nothing is to be computed."""
        return all(
            plan.run is not None and not plan.missing for plan in (self.plan, *self.variants)
        )

    @property
    def edits(self) -> list[Edits]:
        """The edits of each variant."""
        return [plan.edits for plan in self.variants]

    def subject(self) -> Subject:
        """Return run and variants, all stored, under the names they have in the store."""
        store = Store(self.request.store)
        return Subject(
            store.run(self.plan.run_id),
            {edits_text(plan.edits): store.run(plan.run_id) for plan in self.variants},
        )


def plan_study(study: Study, store: Path, engine: OneProcess | None = None) -> dict[str, Planned]:
    """Plan every run and check every analysis against it.

    Reads sentences and model, computes and creates nothing, but with an ``engine`` the text that a
    run asks for and no stored one has; raises IncompleteRun for it without. Raises UsageError or
    InputError, with the table of the study file, for what cannot be done.
    """
    planned = {}
    for name, given in study.runs.items():
        with _naming(f"{study.path} [runs.{name}]"):
            planned[name] = _plan(study, name, given, store, engine)
    for analysis in study.analyses:
        with _naming(f"{study.path} [analyses.{analysis.name}]"):
            analysis.stage.check(planned[analysis.run].plan, planned[analysis.run].edits)
    return planned


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the place in the study file before the message of what is wrong there."""
    try:
        yield
    except ActlasError as error:
        raise type(error)(f"{where}: {error}") from error


def _plan(study: Study, name: str, given: Input, store: Path, engine: OneProcess | None) -> Planned:
    model = study.model
    sites, by_default = _sites(study, name)
    layers, depths = kept_numbers(given.layers, given.depths)
    options = ExtractOptions(
        sites,
        by_default=by_default,
        layers=layers,
        depths=depths,
        tokens=(given.tokens,) if isinstance(given.tokens, str) else given.tokens,
        dtype=model.dtype,  # type: ignore[arg-type]  # checked by ExtractOptions
        stored_dtype=model.stored_dtype,  # type: ignore[arg-type]
        attention=model.attention,  # type: ignore[arg-type]
        unit_tokens=model.unit_tokens,
        device=model.device,
    )
    request = Request(
        sentence_file(study, given.sentences),
        store,
        options,
        model=_model_name(study),
        revision=model.revision,
        text_column=given.text_column,
        special=special_choice(bos=given.bos, no_special=given.no_special),
        skip_bad=given.skip_bad,
        rename=given.rename,
        drop=given.drop,
        windows=given.windows,
        labels=None if given.labels is None else sentence_file(study, given.labels),
        generate=given.how,
        only_stored=engine is None,
    )
    found = plan_request(request, engine=engine)
    check_layers(given.sites, found.plan.model.geometry.n_layer)
    echo_skipped(found)
    return Planned(request, found.plan, tuple(variant_plans(found.plan, given.edits)))


def _model_name(study: Study) -> str:
    """Return the model's name, a folder beside the study file by its path."""
    beside = study.path.parent / study.model.name
    return (
        str(beside)
        if study.model.name != DEMO and (beside / "config.json").is_file()
        else study.model.name
    )


def _sites(study: Study, run: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sites of a run, and those of them that are there by default alone."""
    needed = {site for analysis in study.of(run) for site in analysis.stage.needs}
    if given := site_names(study.runs[run].sites):
        return given, ()
    sites = tuple(site for site in SITES if site in needed.union(DEFAULT_SITES))
    return sites, tuple(site for site in sites if site not in needed)


def variant_plans(plan: Plan, edits: Sequence[str | tuple[str, ...]]) -> list[Plan]:
    """Return the plan of each variant of ``plan``.

    Raises UsageError for edits that its model has no place for.
    """
    passes: list[tuple[Edit, ...]] = []
    for each in edits:
        if isinstance(each, str):
            passes += [(edit,) for edit in expand((each,), plan.model.architecture)]
        else:
            passes.append(_together(each))
    kept = tuple(site for site in SWEEP_SITES if site in plan.model.family.rows)
    return plan_variants(plan, passes, kept)


def _together(texts: tuple[str, ...]) -> tuple[Edit, ...]:
    if not texts:
        raise UsageError(
            'edits has an empty list: expected edits that act together, such as ["skip:layer=1", '
            '"skip:layer=2"]'
        )
    return in_order(parse_edit(text) for text in texts)
