"""Where commands compute.

That is this process, several of this machine, or the workers of a scheduler.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from actlas.scripts.analyses.bounds import number

if TYPE_CHECKING:
    from actlas.pipeline.distributed.cluster import Cluster
    from actlas.store.runs.run import Run

F = TypeVar("F", bound=Callable[..., Any])


def cluster_options(function: F) -> F:
    """Give a command the choice of workers; it receives ``dask_cluster``, None for this process."""

    @click.option(
        "--workers",
        type=number("workers"),
        metavar="N",
        help="Compute in N processes of this machine.",
    )
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Compute on the workers of a dask scheduler: its address or scheduler file.",
    )
    @wraps(function)
    def command(*args: Any, workers: int | None, scheduler: str | None, **options: Any) -> Any:
        chosen = None
        if workers is not None or scheduler is not None:
            from actlas.pipeline.distributed.cluster import Cluster, require_cluster_extra

            require_cluster_extra()
            chosen = Cluster(workers, scheduler)
        return function(*args, dask_cluster=chosen, **options)

    return command  # type: ignore[return-value]


def analysis_workers(function: F) -> F:
    """Let an analysis of ``run``, or of the store at ``store_path``, compute on workers."""

    @cluster_options
    @wraps(function)
    def command(*args: Any, dask_cluster: Cluster | None, **options: Any) -> Any:
        if dask_cluster is None:
            return function(*args, **options)
        # workers may be at work in another folder than this process
        for name, what in options.items():
            options[name] = _absolute(what) if name in ("run", "store_path") else what
        with computing_on(
            dask_cluster,
            *map(_place, filter(None, (options.get("run"), options.get("store_path")))),
        ):
            return function(*args, **options)

    return command  # type: ignore[return-value]


@contextmanager
def computing_on(cluster: Cluster, *places: Path) -> Iterator[None]:
    """Make dask compute on workers, a BLAS thread a task.

    All workers must see ``places``. It lasts until the block ends.
    """
    from actlas.pipeline.distributed.cluster import (
        SOFTWARE,
        Local,
        Needs,
        check_workers,
        connected,
        core_share,
        limit_blas,
        restore_blas,
    )

    # a task is one chunk; BLAS threads within it would take the cores of other tasks
    threads = core_share(cluster.workers) if cluster.workers else 1
    session = secrets.token_hex(6)
    with connected(cluster, Local(threads)) as client:
        check_workers(
            client, Needs.of((*SOFTWARE, "xarray"), *((place, str(place)) for place in places))
        )
        client.run(limit_blas, session)
        try:
            yield
        finally:
            client.run(restore_blas, session, on_error="ignore")


def _absolute(what: Run | Path) -> Run | Path:
    from actlas.store.runs.exported import Exported
    from actlas.store.runs.run import Run

    if isinstance(what, Path):
        return what.absolute()
    if isinstance(what, Exported):
        return Exported(what.file.absolute())
    return Run(what.folder.absolute(), what.names)


def _place(what: Run | Path) -> Path:
    """Return a file that workers must see.

    An export, otherwise the record of a run or of a store.
    """
    return (
        what / "store.json"
        if isinstance(what, Path)
        else getattr(what, "file", what.folder / "run.json")
    )
