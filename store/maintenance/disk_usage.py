"""What takes the room in a store: per run its sites, its records and labels, and leftovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from actlas.store.catalog import Store
from actlas.store.io.safe_open import listed
from actlas.store.io.workspace import writers
from actlas.store.maintenance.gc import collect, tree_bytes
from actlas.store.runs.run import Run

MANY_FILES = 1000  # of a run: from here on opening it takes a second and more
SMALL_FILE = 1 << 20  # bytes: joining larger ones takes as long as opening them a hundred times


@dataclass(frozen=True)
class Usage:
    """Bytes of one run."""

    run: Run
    sites: Mapping[str, int]
    records: int  # labels, HDF5's and JSON records, gaps
    writing: int  # of units that are being written
    leftovers: int

    @property
    def total(self) -> int:
        """All bytes in the run's folder."""
        return sum(self.sites.values()) + self.records + self.writing + self.leftovers


@dataclass(frozen=True)
class StoreUsage:
    """Bytes of a store: its runs, and leftovers, those within runs among them."""

    runs: tuple[Usage, ...]
    leftovers: int

    @property
    def total(self) -> int:
        """All bytes of runs and leftovers."""
        return sum(run.total - run.leftovers for run in self.runs) + self.leftovers


def usage(store: Store) -> StoreUsage:
    """Measure every run of ``store``; nothing is changed."""
    leftovers = collect(store, dry_run=True).leftovers
    swept = Counter[str]()
    for leftover in leftovers:
        if leftover.path.parent.parent.parent == store.path / "runs":
            swept[leftover.path.parent.parent.name] += leftover.nbytes
    runs = tuple(_of_run(run, swept[run.id]) for run in store.runs())
    return StoreUsage(runs, sum(leftover.nbytes for leftover in leftovers))


def has_many_files(run: Run) -> bool:
    """Whether a run lies in so many small files that packing makes opening it faster."""
    sizes = [path.stat().st_size for path in listed(run.folder / "shards", ".h5")]
    return len(sizes) > MANY_FILES and sum(sizes) < SMALL_FILE * len(sizes)


def _of_run(run: Run, leftovers: int) -> Usage:
    sites = Counter[str]()
    for record in run.records:
        for name, site in record.sites.items():
            for location in record.locations:
                sites[name] += site.layout.narrow(location.unit.tokens).nbytes
    writing = sum(tree_bytes(folder) for folder in writers(run.folder))
    records = tree_bytes(run.folder) - sum(sites.values()) - writing - leftovers
    return Usage(run, dict(sorted(sites.items())), max(0, records), writing, leftovers)
