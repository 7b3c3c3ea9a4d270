"""What carries out plans: runs are made, what is missing is computed, small files are packed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import renewed
from actlas.scripts.extraction.engine import Engine, engine_of
from actlas.scripts.extraction.frontend import TERMINAL, Frontend
from actlas.scripts.extraction.stopping import Interrupted
from actlas.store.catalog import Store
from actlas.store.format.parts import SitePart
from actlas.store.format.run_names import cleaned, spelled, variant_name
from actlas.store.labels.relabel import relabel
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.extraction.progress import ExtractionStats
    from actlas.store.format.schema import Unit
from actlas.scripts.extraction.request import Request


def carry_out(
    request: Request,
    plan: Plan,
    *,
    quiet: bool = False,
    frontend: Frontend = TERMINAL,
    engine: Engine | None = None,
) -> tuple[Run, ExtractionStats | None]:
    """Return the run, with what is missing computed, and what that took.

    The second is None where all was stored. engine: who computes, by ``request`` where None.
    """
    with extraction(request, [plan], quiet=quiet, frontend=frontend, engine=engine) as started:
        return started.carry_out(plan)


@contextmanager
def extraction(
    request: Request,
    plans: Sequence[Plan],
    *,
    quiet: bool = False,
    frontend: Frontend = TERMINAL,
    engine: AbstractContextManager[Engine] | None = None,
) -> Iterator[Extraction]:
    """Yield what carries out ``plans``, its engine ready if one of them needs it.

    engine: one by ``request`` where None; ``nullcontext`` keeps one ready. See ``stop_requests``
    for Ctrl-C.
    """
    each_and_baseline = (each for plan in plans for each in (plan, plan.baseline))
    needed = next((each for each in each_and_baseline if each and each.missing), None)
    with engine or engine_of(request.cluster, request.store) as ready:
        if needed:
            ready.prepare(needed)  # before anything is made in the store: it can fail
        with frontend.stop_requests() as stopped:
            yield Extraction(request, ready, stopped, quiet=quiet, frontend=frontend)


class Extraction:
    """What carries out the plans of a request, which are of one model."""

    def __init__(
        self,
        request: Request,
        engine: Engine,
        stopped: Callable[[], bool],
        *,
        quiet: bool,
        frontend: Frontend = TERMINAL,
    ) -> None:
        """Take the ``engine``, prepared if there is something to compute."""
        self.stopped = stopped
        self._request = request
        self._engine = engine
        # seconds in which the model was loaded for a baseline, and so for its variant
        self._loaded = 0.0
        self._baselines: dict[
            tuple[str, tuple[SitePart, ...]], Plan
        ] = {}  # those that are whole by now
        self._quiet = quiet
        self._has_readout = False  # as far as this command knows
        self._frontend = frontend

    def carry_out(self, plan: Plan, *, quiet: bool = False) -> tuple[Run, ExtractionStats | None]:
        """Return the run of ``plan`` and what computing it took, None where all was stored.

        The baseline is computed first where it lacks something.
        """
        return self.carry_out_all([plan], quiet=quiet)[0]

    def carry_out_all(
        self, plans: Sequence[Plan], *, quiet: bool = False
    ) -> list[tuple[Run, ExtractionStats | None]]:
        """Do ``carry_out`` for plans of one baseline.

        Their units are computed side by side where there are several workers.
        """
        begun = [self._begin(plan, quiet) for plan in plans]
        work = [(plan, run) for plan, run in begun if plan.missing]
        all_stats = dict(
            zip((run.id for _, run in work), self._compute(work, quiet or self._quiet), strict=True)
        )
        if self._request.readout and work:
            self._add_readout(work[0][0])
        if self._request.pack and work:
            self._pack([(run, all_stats[run.id]) for _, run in work], quiet or self._quiet)
        return [(run, all_stats.get(run.id)) for _, run in begun]

    def _begin(self, plan: Plan, quiet: bool) -> tuple[Plan, Run]:
        """Return the run, made and named first where it is new.

        Also return the plan by what is stored now.
        """
        _store_labels(plan)
        # all is stored: nothing is made, so a read-only store will do
        if plan.run and not plan.missing and not (plan.baseline and plan.baseline.missing):
            return plan, self._named(Store(self._request.store), plan.run, plan)
        store = Store.create(self._request.store)
        baseline = self._baseline(plan, store, quiet)
        labels = plan.tokens.labels
        run = self._named(
            store,
            store.add(
                plan.specification,
                plan.description,
                baseline.units if baseline else plan.units,
                labels.columns,
                labels.token_columns,
            ),
            plan,
        )
        plan = renewed(plan, store, baseline)
        _store_labels(plan)  # where another process has made the run meanwhile
        return plan, run

    def _baseline(self, plan: Plan, store: Store, quiet: bool) -> Plan | None:
        """Return the plan of a variant's baseline by what is stored now.

        The baseline is computed first where it lacks something.
        """
        if plan.baseline is None or not plan.baseline.missing:
            return plan.baseline
        # variants of one sweep share their baseline: it is planned and computed once
        key = plan.baseline.run_id, plan.baseline.parts
        if key not in self._baselines:
            baseline = renewed(plan.baseline, store)
            if baseline.missing:
                _, made = self.carry_out(baseline, quiet=quiet)
                self._loaded = made.seconds["load"] if made else self._loaded
                baseline = renewed(baseline, store)
            self._baselines[key] = baseline
        return self._baselines[key]

    def _compute(self, work: Sequence[tuple[Plan, Run]], quiet: bool) -> list[ExtractionStats]:
        if not work:
            return []
        from actlas.pipeline.extraction.progress import Callbacks

        total = sum(unit.tokens for plan, _ in work for unit, _ in plan.missing)
        hidden = True if quiet else None
        name = work[0][1].name if len(work) == 1 else f"{len(work)} runs"
        bar_of = self._frontend.bar
        with bar_of(total=total, unit=" tokens", desc=name, disable=hidden) as bar:

            def committed(unit: Unit) -> None:
                bar.update(unit.tokens)

            try:
                all_stats = self._engine.extract(work, Callbacks(committed, self.stopped))
            except KeyboardInterrupt as error:
                raise Interrupted(_progress(work)) from error
        # the model was loaded for the baseline; its seconds are shown with the first run after it
        all_stats[0].seconds["load"] += self._loaded
        self._loaded = 0.0
        return all_stats

    def _pack(self, computed: Sequence[tuple[Run, ExtractionStats]], quiet: bool) -> None:
        from actlas.scripts.extraction.packing import pack_small_files

        for run, stats in computed:
            start = time.perf_counter()
            try:
                stats.packed = pack_small_files(
                    run, self.stopped, quiet=quiet, frontend=self._frontend
                )
            except KeyboardInterrupt as error:
                raise Interrupted(
                    f"interrupted: run {run.name} is stored, `actlas pack {run.name}` "
                    "packs its files"
                ) from error
            stats.seconds["store"] += time.perf_counter() - start

    def _add_readout(self, plan: Plan) -> None:
        """Store the readout of the plans' model, once; say why a model has none."""
        from actlas.pipeline.models.objects import ModelObject

        # of a model in memory there are no files to read it from
        if not self._has_readout and not isinstance(plan.model, ModelObject):
            from actlas.pipeline.readouts.making import ensure_readout

            why_not = ensure_readout(Path(self._request.store), plan.model)
            self._has_readout = True
            if why_not:
                self._frontend.note(f"no readout: {why_not}")

    def _named(self, store: Store, run: Run, plan: Plan) -> Run:
        if self._request.name is not None and plan.options.edits == self._request.options.edits:
            return store.name(run, self._request.name)
        if run.names:
            return run
        source = plan.description["source"]
        wanted = cleaned(
            f"{source if cleaned(source) else spelled(source)}-{Path(self._request.model).name}"
        )
        if plan.baseline:
            baseline = store.run(plan.baseline.run_id)
            wanted = variant_name(wanted if wanted in baseline.names else baseline.name, run.edits)
        return store.name(run, store.free_name(wanted, reserved=self._request.name))


def _store_labels(plan: Plan) -> None:
    """Store the columns of the input as the labels of its run and baseline, if they differ."""
    if plan.labelled and plan.label_change:
        columns, token_columns = plan.given_labels
        relabel(plan.labelled, columns, plan.description["source"], token_columns)
        if plan.run:
            plan.run.refresh()


def _progress(work: Sequence[tuple[Plan, Run]]) -> str:
    """Say what is stored of the runs that were interrupted."""
    for _, run in work:
        run.refresh()
    units = sum(len(run.units) for _, run in work)
    done = units - sum(len(run.index.missing_parts(plan.parts)) for plan, run in work)
    of_runs = f" of {len(work)} runs" if len(work) > 1 else ""
    return (
        f"interrupted: {done} of {units} units{of_runs} are stored, run the same command "
        "again to go on"
    )
