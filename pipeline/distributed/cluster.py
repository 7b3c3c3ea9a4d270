"""Workers of dask.distributed: processes of this machine, or those of a scheduler that is there.

Checked before work begins.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.store.errors import ActlasError, UsageError

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

CONNECT_SECONDS = 5
WORKERS_SECONDS = 20  # that a scheduler without workers is waited for
#: what must be the same here and on every worker
SOFTWARE = ("actlas", "dask", "distributed", "numpy")
MODEL_SOFTWARE = ("torch", "transformers")


class ClusterError(ActlasError):
    """Workers cannot be had, or cannot do what is asked of them."""


@dataclass(frozen=True)
class Cluster:
    """Who computes: ``workers`` processes of this machine, or those of ``scheduler``.

    scheduler: an address or a scheduler file.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError unless it is one of the two."""
        if (self.workers is None) == (self.scheduler is None):
            raise UsageError("--workers and --scheduler were given: expected one of them")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers is {self.workers}, expected 1 or more")


@dataclass(frozen=True)
class Local:
    """How processes of this machine are made.

    Threads in which each takes tasks, GPUs dealt out one by one.
    """

    threads: int
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a worker must have.

    That is the same software, and paths that it sees, each with what it is.
    """

    software: Mapping[str, str]
    paths: tuple[tuple[Path, str], ...]

    @classmethod
    def of(cls, software: Sequence[str], *paths: tuple[Path, str]) -> Needs:
        """Return the need of what is installed here and of ``paths``."""
        return cls(installed(software), tuple((path.absolute(), what) for path, what in paths))


def require_cluster_extra() -> None:
    """Raise ActlasError, naming the extra, where dask.distributed is not installed."""
    if importlib.util.find_spec("distributed") is None:
        raise ActlasError(
            "--workers and --scheduler need distributed: install the extra, pip install "
            "'actlas[cluster]'"
        )


def core_share(workers: int) -> int:
    """Return how many of this machine's cores each of ``workers`` processes gets."""
    from dask.system import CPU_COUNT

    return max(1, int(CPU_COUNT) // workers)


@contextmanager
def connected(cluster: Cluster, local: Local) -> Iterator[Client]:
    """Connect to the workers, made first where they are of this machine, which end with the block.

    Dask then computes there.

    Raises UsageError for a scheduler that does not answer, ClusterError for one without workers or
    one that is lost.
    """
    require_cluster_extra()
    from distributed import Client
    from distributed.client import FutureCancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    # what it would say in many lines is an error of one line here
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="distributed")
        try:
            if cluster.workers is not None:
                with _local_cluster(cluster.workers, local) as made, Client(made) as client:
                    yield client
            else:
                with _client_of(str(cluster.scheduler)) as client:
                    yield client
        except KilledWorker as error:
            raise ClusterError(
                f"{error.allowed_failures + 1} workers ended in the same task: give them more "
                f"memory, or look into their logs"
            ) from error
        except (CommClosedError, FutureCancelledError) as error:
            raise ClusterError(
                "the scheduler is gone: run the same command again when it is back"
            ) from error


def check_workers(client: Client, needs: Needs) -> None:
    """Raise ClusterError naming the first worker that does not have what it needs."""
    for address, problem in sorted(client.run(lacks, needs, on_error="return").items()):
        # it knows no function of this version
        if isinstance(problem, ImportError | AttributeError):
            raise ClusterError(
                f"worker {address} has no actlas, or another version ({problem}): install the "
                f"same everywhere"
            )
        if isinstance(problem, BaseException):
            raise ClusterError(f"worker {address} does not answer ({problem})") from problem
        if problem:
            raise ClusterError(f"worker {address} {problem}")


def lacks(needs: Needs) -> str | None:
    """Return what this process lacks of ``needs``, None where it has all."""
    here = installed(needs.software)
    for name, wanted in needs.software.items():
        if here[name] != wanted:
            advice = "install the same version everywhere"
            return f"has {name} {here[name]}, this process {wanted}: {advice}"
    for path, what in needs.paths:
        if not os.path.exists(path):  # noqa: PTH110  # Path.exists raises where a folder above may not be looked into
            shared = (
                "workers need the store's folder and the model's, shared, "
                "under the same paths as here"
            )
            return f"does not see {what}: {shared}"
    return None


def installed(names: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the versions of Python and of the packages ``names`` in this process.

    A package that is missing has the version "none".
    """
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in names:
        if name not in versions:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = "none"
    return versions


@contextmanager
def mark(store: Path) -> Iterator[Path]:
    """Put a file where the store is or will be, for workers to see.

    A folder of that name may be another one there.

    It has the name of a draft of ``store.json``, which a store tolerates if this process is killed.
    """
    there = next(
        folder for folder in (store.absolute(), *store.absolute().parents) if folder.is_dir()
    )
    with tempfile.NamedTemporaryFile(prefix="store.json.", dir=there) as file:
        yield Path(file.name)


def limit_blas(session: str) -> None:
    """Hold BLAS in this process to one thread until ``restore_blas``.

    Dask runs a task on each core already.
    """
    from threadpoolctl import threadpool_limits

    _LIMITS.setdefault(session, threadpool_limits(1, user_api="blas"))


def restore_blas(session: str) -> None:
    """End ``limit_blas``."""
    limits = _LIMITS.pop(session, None)
    if limits is not None:
        limits.restore_original_limits()


_LIMITS: dict[str, Any] = {}


def dask_setup(_worker: object) -> None:
    """Leave Ctrl-C to the process that the user called: the terminal sends it to all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _client_of(scheduler: str) -> Client:
    from distributed import Client

    try:
        address = (
            json.loads(Path(scheduler).read_bytes())["address"]
            if Path(scheduler).is_file()
            else scheduler
        )
        # a Client waits for ever for who listens and is silent
        asyncio.run(asyncio.wait_for(_ask(address), CONNECT_SECONDS))
        client = Client(address, timeout=CONNECT_SECONDS)
    # no answer, no address at all, or whatever else listens there, which may answer anything
    except Exception as error:
        advice = (
            "expected the address of a dask scheduler, such as tcp://host:8786, or its scheduler "
            "file"
        )
        raise UsageError(f"no scheduler answers at {scheduler}: {advice}") from error
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"scheduler {scheduler} has no workers: start some, then run the same command again"
        ) from error
    return client


async def _ask(address: str) -> None:
    """Raise unless a scheduler answers at ``address``."""
    from distributed.core import rpc
    from distributed.security import Security

    async with rpc(address, connection_args=Security().get_connection_args("client")) as remote:
        found = await remote.identity()
    if found["type"] != "Scheduler":
        raise ValueError(f"{address} is a {found['type']}")


def _local_cluster(workers: int, local: Local) -> SpecCluster:
    """Return ``workers`` processes of this machine; one that dies is made again."""
    from distributed import Nanny, Scheduler, SpecCluster

    own = {"host": "127.0.0.1", "dashboard": False}
    common = {
        **own,
        "nthreads": local.threads,
        "memory_limit": 0,  # mapped files would count, and a worker at work would be ended for them
        "silence_logs": logging.CRITICAL,
        "preload": [__name__],
        "local_directory": tempfile.gettempdir(),
    }
    specs = {}
    for number in range(workers):
        gpu = {"CUDA_VISIBLE_DEVICES": local.gpus[number % len(local.gpus)]} if local.gpus else {}
        specs[number] = {"cls": Nanny, "options": {**common, "env": gpu}}
    scheduler = {"cls": Scheduler, "options": {**own, "port": 0, "protocol": "tcp"}}
    return SpecCluster(
        workers=specs,
        scheduler=scheduler,
        silence_logs=logging.CRITICAL,
        name=f"actlas-{os.getpid()}",
    )
