"""What a worker does.

Computes the units it is sent, one at a time, with a model it loads once and keeps.

A task may be sent twice, because a worker that did it was lost before it said so: the first commit
of a unit wins.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.pipeline.distributed.cluster import ClusterError, Needs, lacks
from actlas.pipeline.extraction.loop import ChangedWeights, Destination, compute, load_for
from actlas.pipeline.extraction.plan import Job, WorkItem
from actlas.pipeline.extraction.progress import Callbacks, ExtractionStats
from actlas.pipeline.extraction.self_check import check_layout
from actlas.pipeline.models.model_state import check_model
from actlas.store.errors import ActlasError, StoreError
from actlas.store.format.schema import SUFFIX, stem
from actlas.store.io.workspace import Workspace, workspace
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Model

MOST_RUN_SESSIONS = 4  # runs whose workspaces a worker keeps open: a sweep has hundreds
SHOWN_TEXT = 40


@dataclass(frozen=True)
class Task:
    """A unit to be computed by a worker that has the store's folder and the model's."""

    session: str  # of the command that sent it
    folder: Path  # of the run
    job: Job
    item: WorkItem
    needs: Needs
    workers: int
    threads: int | None  # of torch; as many as the worker has for tasks where None

    def __str__(self) -> str:
        """Name the unit and its sentences."""
        unit, text = self.item.unit, self.item.labels.text[0]
        beginning = text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"
        last = unit.first + unit.sentences - 1
        return f"unit {unit.number} (sentences {unit.first}-{last}, the first {beginning!r})"


@dataclass
class _RunSession:
    """A run that this worker computes for."""

    run: Run
    work: Workspace
    leave: ExitStack
    users: int = 0
    parts: int = 1  # batches that its units are cut into, since memory ran out
    checked: bool = False  # whether the model was found to be the run's


@dataclass
class _State:
    """What this process keeps between tasks."""

    lock: threading.Lock = field(default_factory=threading.Lock)  # of run_sessions
    # of the model: hooks are its own, so one unit at a time
    model_lock: threading.Lock = field(default_factory=threading.Lock)
    run_sessions: OrderedDict[tuple[str, Path], _RunSession] = field(default_factory=OrderedDict)
    stopped: set[str] = field(default_factory=set)
    model: tuple[tuple[str, ...], Model] | None = None
    threads: int | None = None  # torch's, before the first task


_HERE = _State()


def compute_unit(task: Task) -> ExtractionStats | None:
    """Compute, write and commit a unit; None where the session was stopped.

    Errors name the unit and its sentences.
    """
    try:
        return _compute(task)
    except (
        KeyboardInterrupt
    ):  # our own way to stop, which dask would take for the end of the worker
        return None
    except ActlasError as error:
        raise type(error)(f"{task}: {error}") from error
    except OSError as error:
        if error.filename is None:
            raise
        raise StoreError(f"{task}: {error.filename}: {error.strerror}") from error
    except Exception as error:
        error.add_note(str(task))
        raise


def stop(session: str) -> None:
    """End what is computed for a session at its next activation.

    What would be computed later ends before it begins.
    """
    _HERE.stopped.add(session)


def release(session: str) -> None:
    """Leave the workspaces of a session that has ended."""
    with _HERE.lock:
        for key in [key for key in _HERE.run_sessions if key[0] == session]:
            _leave(_HERE.run_sessions.pop(key))
        _HERE.stopped.discard(session)
    if _HERE.threads is not None:
        import torch

        torch.set_num_threads(_HERE.threads)


def _compute(task: Task) -> ExtractionStats | None:
    callbacks = Callbacks(
        stopped=lambda: task.session in _HERE.stopped, model_lock=_HERE.model_lock
    )
    if callbacks.stopped():
        return None
    with _run_session(task) as opened:
        commit = task.folder / "commits" / f"{stem(task.item.unit.number, task.item.parts)}{SUFFIX}"
        if commit.exists():
            return ExtractionStats(lost_races=1)
        with _HERE.model_lock:
            start = time.perf_counter()
            model = _model(task)
            if not opened.checked:
                check_model(model, task.job.expected)
                check_layout(model, task.job.model.architecture, task.job.options.attention)
                opened.checked = True
            loaded = time.perf_counter() - start
        provenance_extra = {"workers": task.workers}
        stats = compute(
            model,
            task.job,
            [task.item],
            Destination(opened.run, opened.work, provenance_extra),
            callbacks,
            opened.parts,
        )
        stats.seconds["load"] = loaded
        opened.parts = max(opened.parts, stats.batches)
        return stats


def _model(task: Task) -> Model:
    """Return the model, loaded if the last task had another.

    Raises ClusterError if its folder here holds another.
    """
    import torch
    from distributed import get_worker

    options, model = task.job.options, task.job.model
    key = (task.job.weights, model.config_digest, options.dtype, options.attention, options.device)
    if _HERE.model is None or _HERE.model[0] != key:
        _HERE.model = None  # before the next one: there may be no room for both
        if _HERE.threads is None:
            _HERE.threads = torch.get_num_threads()
        try:
            _HERE.model = (key, load_for(task.job))
        except ChangedWeights as error:
            raise ClusterError(
                f"worker {get_worker().address}: {model.folder} holds other weights than the "
                f"same folder here"
            ) from error
    torch.set_num_threads(task.threads or get_worker().state.nthreads)
    return _HERE.model[1]


@contextmanager
def _run_session(task: Task) -> Iterator[_RunSession]:
    """Open the run of a task, or find it open.

    Of the runs that no task uses MOST_RUN_SESSIONS stay open.
    """
    key = (task.session, task.folder)
    with _HERE.lock:
        opened = _HERE.run_sessions.get(key) or _opened(task)
        _HERE.run_sessions[key] = opened
        _HERE.run_sessions.move_to_end(key)
        opened.users += 1
        idle = [other for other, its in _HERE.run_sessions.items() if not its.users]
        for other in idle[: max(0, len(_HERE.run_sessions) - MOST_RUN_SESSIONS)]:
            _leave(_HERE.run_sessions.pop(other))
    try:
        yield opened
    finally:
        with _HERE.lock:
            opened.users -= 1
            if _HERE.run_sessions.get(key) is not opened:
                _leave(opened)


def _opened(task: Task) -> _RunSession:
    if problem := lacks(task.needs):  # of a worker that came later than the check of all
        raise ClusterError(f"this worker {problem}")
    with ExitStack() as stack:
        run = Run(task.folder)
        work = stack.enter_context(workspace(task.folder))
        return _RunSession(run, work, stack.pop_all())


def _leave(opened: _RunSession) -> None:
    if not opened.users:
        opened.leave.close()
