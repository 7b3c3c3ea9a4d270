"""The extraction as commands use it: plan first, ask the store, compute only what is missing."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.planning import make_plan, renewed
from actlas.pipeline.inputs.sentences import BadLine, Sentences, read_sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.digest_cache import cache_folder
from actlas.pipeline.models.folder import resolve
from actlas.scripts.extraction.engine import Engine, engine_of
from actlas.scripts.terminal.text import printable
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, UsageError
from actlas.store.format.run_names import cleaned, spelled, variant_name
from actlas.store.labels.columns import check_columns
from actlas.store.labels.relabel import relabel
from actlas.store.labels.special import SpecialChoice
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster
    from actlas.pipeline.extraction.progress import ExtractionStats
    from actlas.store.format.schema import Unit

MODEL_EXTRA = ("tokenizers", "safetensors", "torch", "transformers")


class Interrupted(ActlasError):
    """The user stopped an extraction; the message says how to go on."""

    exit_code = 130


@dataclass(frozen=True)
class Request:
    """An extraction as the user words it."""

    sentences: str
    store: Path
    options: ExtractOptions
    model: str = "demo"
    revision: str | None = None
    name: str | None = None
    text_column: str = "text"
    special: SpecialChoice = "default"  # the special tokens around each sentence
    skip_bad: bool = False
    rename: tuple[str, ...] = ()  # columns, each OLD=NEW
    drop: tuple[str, ...] = ()  # columns
    cluster: Cluster | None = None  # who computes; this process where None
    pack: bool = True  # join the files of a run that has many small ones


@dataclass(frozen=True)
class Planned:
    """A plan and the lines it leaves out."""

    plan: Plan
    skipped: tuple[BadLine, ...]
    notes: tuple[str, ...] = ()  # of the reader


def special_choice(*, bos: bool, no_special: bool) -> SpecialChoice:
    """Return what ``--bos`` and ``--no-special`` ask for; raises UsageError for both at once."""
    if bos and no_special:
        raise UsageError("--bos adds a special token, --no-special leaves all out: give one")
    return "bos" if bos else "none" if no_special else "default"


def require_model_extra() -> None:
    """Raise ActlasError, naming the extra, where what runs a model is not installed."""
    lacking = [name for name in MODEL_EXTRA if importlib.util.find_spec(name) is None]
    if lacking:
        raise ActlasError(
            f"extracting needs {', '.join(lacking)}: install the extra, pip install 'actlas[model]'"
        )


def plan_request(request: Request) -> Planned:
    """Read, tokenize and look into the store; imports no torch and creates nothing."""
    require_model_extra()
    sentences = read_sentences(
        request.sentences,
        text_column=request.text_column,
        skip_bad=request.skip_bad,
        rename=request.rename,
        drop=request.drop,
    )
    check_columns(sentences.columns)
    model = resolve(request.model, request.revision)
    if cache_folder() is None:
        click.echo(
            "note: no home folder (HOME is not set), so weights are hashed anew: set "
            "XDG_CACHE_HOME",
            err=True,
        )
    tokens = tokenize(sentences, model, special=request.special, skip_bad=request.skip_bad)
    store = Store(request.store) if Store.is_at(request.store) else None
    plan = make_plan(store, model, tokens, _source(sentences), request.options)
    if request.name is not None:
        Store.check_form(request.name)
        if store:
            store.check_name(request.name, plan.run_id)
    return Planned(plan, (*sentences.skipped, *tokens.skipped), sentences.notes)


def carry_out(
    request: Request, plan: Plan, *, quiet: bool = False
) -> tuple[Run, ExtractionStats | None]:
    """Return the run, with what is missing computed, and what that took.

    The second is None where all was stored.
    """
    with extraction(request, [plan], quiet=quiet) as started:
        return started.carry_out(plan)


@contextmanager
def extraction(
    request: Request, plans: Sequence[Plan], *, quiet: bool = False
) -> Iterator[Extraction]:
    """Yield what carries out ``plans``, its engine ready if one of them needs it.

    See ``stop_requests`` for Ctrl-C.
    """
    each_and_baseline = (each for plan in plans for each in (plan, plan.baseline))
    needed = next((each for each in each_and_baseline if each and each.missing), None)
    with engine_of(request.cluster, request.store) as engine:
        if needed:
            engine.prepare(needed)  # before anything is made in the store: it can fail
        with stop_requests() as stopped:
            yield Extraction(request, engine, stopped, quiet=quiet)


class Extraction:
    """What carries out the plans of a request, which are of one model."""

    def __init__(
        self, request: Request, engine: Engine, stopped: Callable[[], bool], *, quiet: bool
    ) -> None:
        """Take the ``engine``, prepared if there is something to compute."""
        self.stopped = stopped
        self._request = request
        self._engine = engine
        # seconds in which the model was loaded for a baseline, and so for its variant
        self._loaded = 0.0
        self._baselines: dict[tuple[str, tuple[str, ...]], Plan] = {}  # those that are whole by now
        self._quiet = quiet

    def carry_out(self, plan: Plan, *, quiet: bool = False) -> tuple[Run, ExtractionStats | None]:
        """Return the run of ``plan``, its baseline made first where that lacks something; no tally where all was stored."""
        return self.carry_out_all([plan], quiet=quiet)[0]

    def carry_out_all(
        self, plans: Sequence[Plan], *, quiet: bool = False
    ) -> list[tuple[Run, ExtractionStats | None]]:
        """Do ``carry_out`` for plans of one baseline.

        Their units are computed side by side where there are several workers.
        """
        begun = [self._begin(plan, quiet) for plan in plans]
        work = [(plan, run) for plan, run in begun if plan.missing]
        tallies = dict(
            zip((run.id for _, run in work), self._compute(work, quiet or self._quiet), strict=True)
        )
        if self._request.pack and work:
            self._pack([(run, tallies[run.id]) for _, run in work], quiet or self._quiet)
        return [(run, tallies.get(run.id)) for _, run in begun]

    def _begin(self, plan: Plan, quiet: bool) -> tuple[Plan, Run]:
        """Return the run, made and named first where it is new.

        Also return the plan by what is stored now.
        """
        _store_labels(plan)
        if plan.run and not plan.missing and not (plan.baseline and plan.baseline.missing):
            return plan, self._named(Store(self._request.store), plan.run, plan)
        store = Store.create(self._request.store)
        baseline = self._baseline(plan, store, quiet)
        columns = plan.tokens.labels.columns
        run = self._named(
            store,
            store.add(
                plan.specification,
                plan.description,
                baseline.units if baseline else plan.units,
                columns,
            ),
            plan,
        )
        plan = renewed(plan, store, baseline)
        _store_labels(plan)  # where another process has made the run meanwhile
        return plan, run

    def _baseline(self, plan: Plan, store: Store, quiet: bool) -> Plan | None:
        """Return the plan of a variant's baseline by what is stored now, made first where it lacks something."""
        if plan.baseline is None or not plan.baseline.missing:
            return plan.baseline
        key = plan.baseline.run_id, plan.baseline.options.sites
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
        with tqdm(total=total, unit=" tokens", desc=name, disable=hidden) as bar:

            def committed(unit: Unit) -> None:
                bar.update(unit.tokens)

            try:
                tallies = self._engine.extract(work, Callbacks(committed, self.stopped))
            except KeyboardInterrupt as error:
                raise Interrupted(_progress(work)) from error
        tallies[0].seconds["load"] += self._loaded
        self._loaded = 0.0
        return tallies

    def _pack(self, computed: Sequence[tuple[Run, ExtractionStats]], quiet: bool) -> None:
        from actlas.scripts.extraction.joining import join_small_files

        for run, tally in computed:
            start = time.perf_counter()
            try:
                tally.packed = join_small_files(run, self.stopped, quiet=quiet)
            except KeyboardInterrupt as error:
                raise Interrupted(
                    f"interrupted: run {run.name} is stored, `actlas pack {run.name}` "
                    "joins its files"
                ) from error
            tally.seconds["store"] += time.perf_counter() - start

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
        relabel(plan.labelled, plan.tokens.labels.columns, plan.description["source"])
        if plan.run:
            plan.run.refresh()


def _progress(work: Sequence[tuple[Plan, Run]]) -> str:
    """Say what is stored of the runs that were interrupted."""
    for _, run in work:
        run.refresh()
    units = sum(len(run.units) for _, run in work)
    done = units - sum(len(run.missing(plan.options.sites)) for plan, run in work)
    of_runs = f" of {len(work)} runs" if len(work) > 1 else ""
    return (
        f"interrupted: {done} of {units} units{of_runs} are stored, run the same command "
        "again to go on"
    )


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into an answer of True.

    Callers ask for it where stopping is safe. The second signal stops at once.

    An exception raised by a signal can come up anywhere, also where a library swallows it. So the
    second ends the process as it stands: what is committed is safe whatever happens to it, and the
    next extraction sweeps the rest.
    """
    requests: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if requests:
            os.write(2, b"\nError: interrupted at once: run the same command again to go on\n")
            os._exit(Interrupted.exit_code)
        requests.append(number)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, old in before.items():
            signal.signal(
                number, signal.SIG_DFL if requests else old
            )  # an impatient user gets no traceback from the way out


def echo_skipped(planned: Planned) -> None:
    """List on stderr what was skipped of the input."""
    for note in planned.notes:
        click.echo(f"note: {printable(note)}", err=True)
    for bad in planned.skipped:
        click.echo(f"skipped line {bad.number}: {printable(bad.reason)}", err=True)


def _source(sentences: Sentences) -> str:
    return "stdin" if sentences.source == "-" else Path(sentences.source).stem
