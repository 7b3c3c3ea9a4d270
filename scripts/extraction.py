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
from typing import TYPE_CHECKING, Protocol, Self

import click
from tqdm import tqdm

from actlas.pipeline.models import resolve
from actlas.pipeline.plan import ExtractOptions, Plan, make_plan
from actlas.pipeline.sentences import BadLine, Sentences, read_sentences
from actlas.pipeline.tokens import tokenize
from actlas.store.catalog import Store
from actlas.store.errors import ActlasError
from actlas.store.run import Run

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from actlas.pipeline.cluster import Cluster
    from actlas.pipeline.extract import Tally, Watch
    from actlas.store.schema import Unit

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
    bos: bool = False
    skip_bad: bool = False
    cluster: Cluster | None = None  # who computes; this process where None


@dataclass(frozen=True)
class Planned:
    """A plan and the lines it leaves out."""

    plan: Plan
    skipped: tuple[BadLine, ...]


def require_model_extra() -> None:
    """Raise ActlasError, naming the extra, where what runs a model is not installed."""
    lacking = [name for name in MODEL_EXTRA if importlib.util.find_spec(name) is None]
    if lacking:
        raise ActlasError(f"extracting needs {', '.join(lacking)}: install the extra, pip install 'actlas[model]'")


def plan_request(request: Request) -> Planned:
    """Read, tokenize and look into the store; imports no torch and creates nothing."""
    require_model_extra()
    sentences = read_sentences(request.sentences, text_column=request.text_column, skip_bad=request.skip_bad)
    model = resolve(request.model, request.revision)
    tokens = tokenize(sentences, model, bos=request.bos, skip_bad=request.skip_bad)
    store = Store(request.store) if Store.is_at(request.store) else None
    plan = make_plan(store, model, tokens, _source(sentences), request.options)
    if request.name is not None:
        Store.check_form(request.name)
        if store:
            store.check_name(request.name, plan.run_id)
    return Planned(plan, (*sentences.skipped, *tokens.skipped))


def carry_out(request: Request, plan: Plan, *, quiet: bool = False) -> tuple[Run, Tally | None]:
    """Return the run, with what is missing computed, and what that took; None where all was stored."""
    with Extraction(request, quiet=quiet) as extraction:
        return extraction.carry_out(plan)


class Engine(Protocol):
    """Who computes: a context manager, ready after the first ``prepare``."""

    def __enter__(self) -> Self:
        """Hold what it needs until the block ends."""

    def __exit__(self, *error: object) -> None:
        """Let go of it."""

    def prepare(self, plan: Plan) -> None:
        """Get all that can fail before anything is made in the store."""

    def extract(self, work: Sequence[tuple[Plan, Run]], watch: Watch) -> list[Tally]:
        """Compute what the plans lack, all of one model, and commit it; raises KeyboardInterrupt where ``watch`` says so."""


class OneProcess:
    """The engine that is this process: the model is loaded once, by the first plan."""

    def __init__(self) -> None:
        self._model: GPT2LMHeadModel | None = None
        self._loaded = 0.0  # seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of the model."""
        self._model = None

    def prepare(self, plan: Plan) -> None:
        """Load the model."""
        from actlas.pipeline.extract import load_for

        if self._model is None:
            start = time.perf_counter()
            self._model = load_for(plan)
            self._loaded = time.perf_counter() - start

    def extract(self, work: Sequence[tuple[Plan, Run]], watch: Watch) -> list[Tally]:
        """Compute one plan after the other."""
        from actlas.pipeline.extract import extract_with

        assert self._model is not None
        tallies = [extract_with(self._model, plan, run, watch) for plan, run in work]
        tallies[0].seconds["load"], self._loaded = self._loaded, 0.0
        return tallies


def _engine(request: Request) -> Engine:
    if request.cluster is None:
        return OneProcess()
    from actlas.pipeline.cluster import require_cluster_extra

    require_cluster_extra()
    from actlas.pipeline.distribution import Workers

    return Workers(request.cluster, request.store)


class Extraction:
    """What carries out the plans of a request, of one model; a context manager."""

    def __init__(self, request: Request, *, quiet: bool = False) -> None:
        self._request = request
        self._quiet = quiet
        self._engine = _engine(request)

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of model or workers."""
        self._engine.__exit__(*error)

    def carry_out(self, plan: Plan, *, quiet: bool = False) -> tuple[Run, Tally | None]:
        """Return the run of ``plan``, its baseline made first where that lacks something; no tally where all was stored."""
        return self.carry_out_all([plan], quiet=quiet)[0]

    def carry_out_all(self, plans: Sequence[Plan], *, quiet: bool = False) -> list[tuple[Run, Tally | None]]:
        """Do ``carry_out`` for plans of one baseline, their units side by side where there are several workers."""
        begun: list[tuple[Plan, Run]] = []
        stored = {plan.run_id: plan.run for plan in plans if plan.run and not plan.missing}
        for plan in plans:
            if plan.run_id not in stored:
                self._engine.prepare(plan)  # before anything is made in the store: it can fail
                if plan.baseline and plan.baseline.missing and not begun:
                    self.carry_out(plan.baseline)
                begun.append(self._begin(plan))
        tallies = dict(zip((run.id for _, run in begun), self._compute(begun, quiet or self._quiet), strict=True))
        runs = {run.id: run for _, run in begun}
        return [
            (
                runs.get(plan.run_id) or self._named(Store(self._request.store), stored[plan.run_id], plan),
                tallies.get(plan.run_id),
            )
            for plan in plans
        ]

    def _begin(self, plan: Plan) -> tuple[Plan, Run]:
        """Make the run and name it; return it, and the plan as it is now."""
        store = Store.create(self._request.store)
        run = self._named(store, store.add(plan.specification, plan.description, _units(store, plan)), plan)
        if not plan.run or plan.baseline:  # another process may have made it meanwhile, with units and labels of its own
            plan = make_plan(store, plan.model, plan.tokens, plan.description["source"], plan.options)
        return plan, run

    def _compute(self, begun: Sequence[tuple[Plan, Run]], quiet: bool) -> list[Tally]:
        from actlas.pipeline.extract import Watch

        if not begun:
            return []
        total = sum(unit.tokens for plan, _ in begun for unit, _ in plan.missing)
        hidden = True if quiet else None
        name = begun[0][1].name if len(begun) == 1 else f"{len(begun)} runs"
        with tqdm(total=total, unit=" tokens", desc=name, disable=hidden) as bar, stop_requests() as stopped:

            def committed(unit: Unit) -> None:
                bar.update(unit.tokens)

            try:
                return self._engine.extract(begun, Watch(committed, stopped))
            except KeyboardInterrupt as error:
                raise Interrupted(_progress(begun)) from error

    def _named(self, store: Store, run: Run, plan: Plan) -> Run:
        if self._request.name is not None and plan.options.edits == self._request.options.edits:
            return store.name(run, self._request.name)
        if run.names:
            return run
        if plan.baseline:
            baseline = store.run(plan.baseline.run_id).name
            return store.name(run, store.free_name(".".join([baseline, *run.specification["edits"]])))
        return store.name(run, store.free_name(f"{plan.description['source']}-{Path(self._request.model).name}"))


def _progress(begun: Sequence[tuple[Plan, Run]]) -> str:
    """Say what is stored of the runs that were interrupted."""
    for _, run in begun:
        run.refresh()
    units = sum(len(run.units) for _, run in begun)
    done = units - sum(len(run.missing(plan.options.sites)) for plan, run in begun)
    of_runs = f" of {len(begun)} runs" if len(begun) > 1 else ""
    return f"interrupted: {done} of {units} units{of_runs} are stored, run the same command again to go on"


def _units(store: Store, plan: Plan) -> tuple[Unit, ...]:
    """Return the units of a new run: a variant's are those its baseline is stored in."""
    return store.run(plan.baseline.run_id).units if plan.baseline else plan.units


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into an answer of True, to be asked for where stopping is safe; the second is at once.

    An exception raised by a signal can come up anywhere, also where a library swallows it. So the second ends the process as
    it stands: what is committed is safe whatever happens to it, and the next extraction sweeps the rest.
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
            signal.signal(number, signal.SIG_DFL if requests else old)  # an impatient user gets no traceback from the way out


def echo_skipped(skipped: tuple[BadLine, ...]) -> None:
    """List lines that were left out, on stderr."""
    for bad in skipped:
        click.echo(f"left out line {bad.number}: {bad.reason}", err=True)


def _source(sentences: Sentences) -> str:
    return "stdin" if sentences.source == "-" else Path(sentences.source).stem
