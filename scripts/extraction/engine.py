"""Who computes an extraction: this process, or workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from actlas.pipeline.extraction.plan import Job, Plan
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster
    from actlas.pipeline.extraction.progress import Callbacks, ExtractionStats
    from actlas.pipeline.models.family import Model


class Engine(Protocol):
    """Who computes: a context manager, ready after the first ``prepare``."""

    def __enter__(self) -> Self:
        """Hold what it needs until the block ends."""

    def __exit__(self, *error: object) -> None:
        """Let go of it."""

    def prepare(self, plan: Plan) -> None:
        """Get all that can fail before anything is made in the store."""

    def extract(
        self, work: Sequence[tuple[Plan, Run]], callbacks: Callbacks
    ) -> list[ExtractionStats]:
        """Compute what the plans lack, all of one model, and commit it.

        Raises KeyboardInterrupt where ``callbacks`` says so.
        """


class OneProcess:
    """The engine that is this process: the model is loaded once, by what needs it first.

    A plan of another model or precision, which only a study's next run can be, loads its own.
    """

    def __init__(self) -> None:
        self._model: Model | None = None
        self._of: tuple[object, ...] = ()  # model and how it computes
        self._loaded = 0.0  # seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of the model."""
        self._model = None

    def prepare(self, plan: Plan) -> None:
        """Load the model."""
        self.model(plan.job)

    def model(self, job: Job) -> Model:
        """Return the model of ``job``, loaded if it is not the one that is there."""
        from actlas.pipeline.extraction.loop import load_for

        options = job.options
        wanted = (job.model.folder, options.dtype, options.device, options.attention)
        if self._model is None or self._of != wanted:
            start = time.perf_counter()
            self._model = None  # before there are two in memory
            self._model, self._of = load_for(job), wanted
            self._loaded = time.perf_counter() - start
        return self._model

    def extract(
        self, work: Sequence[tuple[Plan, Run]], callbacks: Callbacks
    ) -> list[ExtractionStats]:
        """Compute one plan after the other."""
        from actlas.pipeline.extraction.loop import extract_with

        assert self._model is not None
        all_stats = [extract_with(self._model, plan, run, callbacks) for plan, run in work]
        all_stats[0].seconds["load"], self._loaded = self._loaded, 0.0
        return all_stats


class GivenModel:
    """The engine that is this process with a model of the user's, which is left as it is."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: the model is the user's."""

    def prepare(self, plan: Plan) -> None:
        """Do nothing: it is loaded."""

    def extract(
        self, work: Sequence[tuple[Plan, Run]], callbacks: Callbacks
    ) -> list[ExtractionStats]:
        """Compute one plan after the other."""
        from actlas.pipeline.extraction.loop import extract_with
        from actlas.pipeline.models.objects import left_as_found

        with left_as_found(self._model):
            return [extract_with(self._model, plan, run, callbacks) for plan, run in work]


def engine_of(cluster: Cluster | None, store: Path) -> Engine:
    """Return this process, or the workers of ``cluster``.

    Raises ActlasError where what they need is not installed.
    """
    if cluster is None:
        return OneProcess()
    from actlas.pipeline.distributed.cluster import require_cluster_extra

    require_cluster_extra()
    from actlas.pipeline.distributed.dispatch import Workers

    return Workers(cluster, store)
