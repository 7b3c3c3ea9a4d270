"""Extraction over workers.

Units as tasks of dask.distributed, a bounded number of them on the way, lost ones done again.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from actlas.pipeline.distributed.cluster import (
    MODEL_SOFTWARE,
    SOFTWARE,
    WORKERS_SECONDS,
    Cluster,
    ClusterError,
    Local,
    Needs,
    check_workers,
    connected,
    core_share,
    mark,
)
from actlas.pipeline.distributed.worker import Task, compute_unit, release, stop
from actlas.pipeline.extraction.plan import Plan
from actlas.pipeline.extraction.progress import Callbacks, ExtractionStats
from actlas.store.errors import StoreError, UsageError
from actlas.store.format.run_record import FILE
from actlas.store.io.safe_open import placed
from actlas.store.runs.run import Run

if TYPE_CHECKING:
    from distributed import Client, Future

IN_FLIGHT = 3  # units a worker: one computed, one synced, one waiting
TASK_THREADS = 2  # of a worker of this machine: one computes while the other waits for the disk
POLL_SECONDS = 0.2


@dataclass
class Workers:
    """Workers for extractions into one store.

    A context manager, connected by the first extraction.
    """

    cluster: Cluster
    store: Path
    _client: Client | None = None
    _connection: AbstractContextManager[Client] | None = None
    _session: str = field(default_factory=lambda: secrets.token_hex(6))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of the workers; those of this machine end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.__exit__(*error)  # type: ignore[arg-type]

    def prepare(self, plan: Plan) -> None:
        """Connect, and check every worker, before anything is made in the store.

        Raises UsageError for an unknown scheduler or device, ClusterError for a worker that lacks
        something.
        """
        if self._client is not None:
            return
        device = plan.options.device
        if self.cluster.workers and device.startswith("cuda:"):
            raise UsageError(
                f"--device {device} is one GPU, and --workers deals them out: leave --device "
                f"out, or give cuda"
            )
        gpus = visible_gpus() if self.cluster.workers and device != "cpu" else ()
        connection = connected(self.cluster, Local(TASK_THREADS, gpus))
        self._client = connection.__enter__()
        self._connection = connection
        with mark(placed(self.store)) as marked:
            check_workers(
                self._client,
                _needs(plan, (marked, f"the folder of the store {placed(self.store)}")),
            )

    def extract(
        self, work: Sequence[tuple[Plan, Run]], callbacks: Callbacks
    ) -> list[ExtractionStats]:
        """Compute what the plans lack and commit it to their runs.

        Returns what that took, by plan, in seconds of workers.

        Raises the first error of a unit, which names its sentences, once no worker is busy;
        KeyboardInterrupt when stopped.
        """
        assert self._client is not None
        dispatch = _Dispatch(
            self._client, self._session, callbacks, [ExtractionStats() for _ in work]
        )
        try:
            dispatch.all(self._tasks(work))
        finally:
            with suppress(OSError):  # of workers that are gone there is nothing to leave
                self._client.run(release, self._session, on_error="ignore")
            for _, run in work:
                run.refresh()
        return dispatch.stats

    def _tasks(self, work: Sequence[tuple[Plan, Run]]) -> Iterator[tuple[int, Task]]:
        assert self._client is not None
        workers = len(self._client.nthreads())
        threads = core_share(self.cluster.workers) if self.cluster.workers else None
        for index, (plan, run) in enumerate(work):
            folder = run.folder.absolute()
            model = replace(plan.model, folder=plan.model.folder.absolute())
            job, needs = (
                replace(plan.job, model=model),
                _needs(plan, (folder / FILE, f"the run {folder}")),
            )
            for item in plan.work_items():
                yield index, Task(self._session, folder, job, item, needs, workers, threads)


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, in the words of CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    given = [
        name.strip()
        for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if name.strip()
    ]
    return tuple(given[:count] if given else map(str, range(count)))


def _needs(plan: Plan, place: tuple[Path, str]) -> Needs:
    # its files are asked for: an empty folder may have that name
    model = f"the model's folder {plan.model.folder.absolute()}"
    files = [
        (file, model) for file in (plan.model.folder / "config.json", *plan.model.weight_files)
    ]
    return Needs.of((*SOFTWARE, *MODEL_SOFTWARE), place, *files)


@dataclass
class _Dispatch:
    """Units on their way to workers and back."""

    client: Client
    session: str
    callbacks: Callbacks
    stats: list[ExtractionStats]
    waiting: dict[Future[ExtractionStats | None], tuple[int, Task]] = field(default_factory=dict)
    error: BaseException | None = None
    idle_since: float | None = None  # no worker since then

    def all(self, tasks: Iterator[tuple[int, Task]]) -> None:
        """Send every task and take what comes back.

        At an error or a stop, wait for those on the way and raise.
        """
        stopping = False
        while self._send(tasks, stopping):
            self._take()
            if not stopping and (self.error is not None or self.callbacks.stopped()):
                stopping = True
                self.client.run(stop, self.session, on_error="ignore")
        if self.error is not None:
            raise self.error
        if stopping:
            raise KeyboardInterrupt

    def _send(self, tasks: Iterator[tuple[int, Task]], stopping: bool) -> bool:
        """Fill up what is on the way; return whether anything is."""
        most = IN_FLIGHT * max(1, self._workers())
        while not stopping and len(self.waiting) < most and (found := next(tasks, None)):
            index, task = found
            # a key of its own: what has an old one is not computed
            future = self.client.submit(compute_unit, task, pure=False)
            self.waiting[future] = (index, task)
        return bool(self.waiting)

    def _workers(self) -> int:
        """Return how many workers there are.

        Raises ClusterError when there have been none for a while.
        """
        workers = len(self.client.nthreads())
        if workers:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = time.monotonic()
        elif time.monotonic() - self.idle_since > WORKERS_SECONDS:
            raise ClusterError(
                "no worker is left: start some, and run the same command again to go on"
            )
        return workers

    def _take(self) -> None:
        """Wait a moment, and count the units that are done."""
        from distributed import wait

        with suppress(TimeoutError):
            wait(list(self.waiting), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        for future in [future for future in self.waiting if future.done()]:
            index, task = self.waiting.pop(future)
            try:
                stats = future.result()
            except Exception as error:
                self.error = self.error or _with_task(error, task)
            else:
                if stats is not None:
                    self._count(self.stats[index], stats)
                    if not task.item.further:
                        self.callbacks.committed(task.item.unit)

    def _count(self, whole: ExtractionStats, part: ExtractionStats) -> None:
        for name in ("units", "tokens", "nbytes", "lost_races"):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        for name, seconds in part.seconds.items():
            whole.seconds[name] += seconds
        whole.batches = max(whole.batches, part.batches)
        workers = len(self.client.nthreads())
        whole.device = whole.device or f"{workers} workers, {part.device or 'none'}"


def _with_task(error: Exception, task: Task) -> Exception:
    """Return ``error``, or what there is to say of a unit that its workers did not survive."""
    from distributed.scheduler import KilledWorker

    if not isinstance(error, KilledWorker):
        return error
    return StoreError(
        f"{task}: {error.allowed_failures + 1} workers ended while they computed it: give them "
        f"more memory, "
        "or a smaller --unit-tokens in a new --store"
    )
