"""What a stage of a study is: a command's study with its options, and when its result is still good.

A stage is a frozen dataclass; its fields are the keys of its table in the study file.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from actlas.scripts.results.output import Destination, Output
from actlas.store.format.edit_records import EditRecord
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.extraction.plan import Plan


Edits = tuple[EditRecord, ...]  # of one variant


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

    def check(self, plan: Plan, edits: Sequence[Edits]) -> None:  # noqa: B027 - most that can be wrong is known without a plan
        """Raise UsageError for options that the model, the sentences or the edits of the run do not allow."""

    def runs(self, subject: Subject) -> list[Run]:
        """Return the runs that the result is of, in the order in which it names them."""
        return [subject.run]

    @abstractmethod
    def recorded(self, subject: Subject) -> dict[str, Any]:
        """Return what the result says of the options, or part of it: another value, another result."""

    @abstractmethod
    def carry_out(self, subject: Subject, out: Destination) -> Finding:
        """Compute, and write result and figures to ``out``."""


def is_current(stage: Stage, subject: Subject, attributes: Mapping[str, str]) -> bool:
    """Whether a result is what ``stage`` would compute: of the same runs and options, by this version of actlas.

    attributes: what the result, whose bytes were checked, says of itself.
    """
    import importlib.metadata

    try:
        options, software = (json.loads(attributes[name]) for name in ("options", "software"))
        wanted = json.loads(json.dumps(stage.recorded(subject)))
        return bool(
            attributes["stage"] == stage.title
            and attributes["runs"].split() == [run.id for run in stage.runs(subject)]
            and label_digests(attributes["labels"])
            == [run.labels_digest for run in stage.runs(subject)]
            and {name: options[name] for name in wanted} == wanted
            and software["actlas"] == importlib.metadata.version("actlas")
        )
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ):  # of an older actlas, or made up
        return False


def label_digests(labels: str) -> list[str]:
    """Return the digests of the labels of each run of a result, from its attribute ``labels``."""
    return [stamp.partition(":")[2] for stamp in labels.split()]
