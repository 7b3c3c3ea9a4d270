"""An analysis of a study file: a study with its options, and when its result is still good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from actlas.analysis import registry
from actlas.analysis.declaring import Options, PlannedRun, Study
from actlas.analysis.declaring.laws import check_sites
from actlas.scripts.analyses.asked import Asked, Finding
from actlas.scripts.analyses.variants import variants_of
from actlas.scripts.results.output import Destination
from actlas.store.errors import unknown
from actlas.store.format.edit_records import EditRecord, edits_text
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    import xarray as xr

    from actlas.pipeline.extraction.plan import Plan


Edits = tuple[EditRecord, ...]  # of one variant
LONGEST = 40  # characters of an option in a line


@dataclass(frozen=True)
class Subject:
    """What a stage studies: a run and the variants that the study asks for.

    variants: by the text of their edits.
    """

    run: Run
    variants: Mapping[str, Run]


@dataclass(frozen=True)
class StageKeys:
    """Keys of the table of an analysis that are no options of its study.

    edits: patterns that name the variants, of studies that compare those a user names.
    """

    edits: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Stage:
    """A study with its options, as a table of a study file has them."""

    study: Study[Any]
    options: Options
    keys: StageKeys = field(default_factory=StageKeys)

    @property
    def title(self) -> str:
        """How results call it: file, attribute, command."""
        return self.study.name

    @property
    def needs(self) -> tuple[str, ...]:
        """Sites that the run must have."""
        return self.study.needs

    @property
    def needs_edits(self) -> bool:
        """Whether it compares variants."""
        return self.study.variants in ("named", "found")

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:
        """Raise UsageError for options that the run does not allow.

        Model, sentences and edits of the run are known by then.
        """
        labels, special = plan.tokens.labels, plan.tokens.special

        # built on demand: most studies do not look at tokens before the run is stored
        def tokens() -> xr.Dataset:
            from actlas.store.reading.view import label_view

            return label_view(labels, special)

        layers, family = plan.model.geometry.n_layer, plan.model.architecture.family
        columns = (*labels.columns, *labels.token_columns)
        model = (family.law, family.causal)
        check_sites(f"model {plan.model.name}", self.needs, *model)
        planned = PlannedRun(layers, columns, tuple(edits), tokens, *model)
        self.study.check(self.options, planned)
        if self.study.variants == "named":
            for pattern in self.keys.edits:
                if not any(_matches(each, pattern) for each in edits):
                    raise unknown("edit", pattern, map(edits_text, edits))

    def asked(self, subject: Subject) -> Asked:
        """Return the study as it is asked of the stored runs."""
        return Asked(self.study, self.options, subject.run, self._variants(subject))

    def _variants(self, subject: Subject) -> tuple[Run, ...]:
        """Return the variants in the order of the study file, each once."""
        if not self.needs_edits:
            return ()
        if self.study.variants == "found":
            return variants_of(self.study, subject.run)
        found: dict[str, Run] = {}
        for pattern in self.keys.edits:
            for run in subject.variants.values():
                if _matches(run.edits, pattern):
                    found.setdefault(run.id, run)
        return tuple(found.values())

    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Compute, and write result and figures to ``out``."""
        return self.asked(subject).carry_out(out)


def _matches(edits: Edits, pattern: str) -> bool:
    """Whether the text of a variant's edits, or of one of them, is as a pattern has it."""
    texts = [edits_text(edits), *(edit.text for edit in edits)]
    return any(text == pattern or fnmatchcase(text, pattern) for text in texts)


def is_current(stage: Stage, subject: Subject, attributes: Mapping[str, str]) -> bool:
    """Whether a result is what ``stage`` would compute; attributes: what it says of itself."""
    return not outdated(stage, subject, attributes)


def outdated(stage: Stage, subject: Subject, attributes: Mapping[str, str]) -> str:
    """Return why a result is not what ``stage`` would compute, empty where it is.

    It has to be of the same runs and options, by the same version of its package.

    attributes: what the result, whose bytes were checked, says of itself.
    """
    try:
        return next(_differences(stage, subject, attributes), "")
    # attributes of an older actlas, or made up
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return "its attributes are not those of a result of this version"


def _differences(stage: Stage, subject: Subject, attributes: Mapping[str, str]) -> Iterator[str]:
    asked = stage.asked(subject)
    options, software = (json.loads(attributes[name]) for name in ("options", "software"))
    if attributes["stage"] != stage.title:
        yield f"stage was {attributes['stage']}, is {stage.title}"
    if attributes["runs"].split() != [run.id for run in asked.runs]:
        yield "it is of other runs: the sentences, the model or the edits changed"
    if label_digests(attributes["labels"]) != [run.labels_digest for run in asked.runs]:
        yield "the labels of its runs changed"
    # through JSON, as the result's own options went: tuples are lists then
    wanted = json.loads(json.dumps(asked.recorded))
    # a result may record more than the options, such as sentences that were left out
    for name, value in wanted.items():
        if options[name] != value:
            yield f"{name} was {_short(options[name])}, is {_short(value)}"
    versions = registry.software("") | registry.software(stage.title)
    for name, version in versions.items():
        if software.get(name) != version:
            yield f"it was made by {name} {software.get(name)}, this is {version}"


def _short(value: object) -> str:
    """Return a value of an option as a study file has it, the beginning of a long one."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def label_digests(labels: str) -> list[str]:
    """Return the digests of the labels of each run of a result, from its attribute ``labels``."""
    return [stamp.partition(":")[2] for stamp in labels.split()]
