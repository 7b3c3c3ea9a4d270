"""What takes the room in a store: per run its sites, its records and labels, and garbage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from actlas.store.catalog import Store
from actlas.store.io.workspace import writers
from actlas.store.maintenance.gc import collect, tree_bytes
from actlas.store.readouts.verify import readout_paths
from actlas.store.runs.run import Run


@dataclass(frozen=True)
class Usage:
    """Bytes of one run."""

    run: Run
    sites: Mapping[str, int]
    records: int  # labels, HDF5's and JSON records, gaps
    writing: int  # of units that are being written
    garbage: int

    @property
    def total(self) -> int:
        """All bytes in the run's folder."""
        return sum(self.sites.values()) + self.records + self.writing + self.garbage


@dataclass(frozen=True)
class StoreUsage:
    """Bytes of a store: its runs, and garbage, those within runs among them."""

    runs: tuple[Usage, ...]
    garbage: int
    readouts: int = 0  # of models that some run is of

    @property
    def total(self) -> int:
        """All bytes of runs, readouts and garbage."""
        return sum(run.total - run.garbage for run in self.runs) + self.readouts + self.garbage


def usage(store: Store) -> StoreUsage:
    """Measure every run of ``store``; nothing is changed."""
    garbage = collect(store, dry_run=True).garbage
    garbage_of = Counter[str]()
    for item in garbage:
        if item.path.parent.parent.parent == store.path / "runs":
            garbage_of[item.path.parent.parent.name] += item.nbytes
    unneeded = {item.path for item in garbage}
    runs = tuple(_of_run(run, garbage_of[run.id], unneeded) for run in store.runs())
    needed = sum(tree_bytes(path) for path in readout_paths(store.path) if path not in unneeded)
    return StoreUsage(runs, sum(item.nbytes for item in garbage), needed)


def _of_run(run: Run, garbage: int, unneeded: Collection[Path]) -> Usage:
    sites = Counter[str]()
    for record in run.records:
        if run.path(record) in unneeded:
            continue
        for name, site in record.sites.items():
            for location in record.locations:
                sites[name] += site.layout.narrow(location.rows).nbytes
    writing = sum(tree_bytes(folder) for folder in writers(run.folder))
    records = tree_bytes(run.folder) - sum(sites.values()) - writing - garbage
    return Usage(run, dict(sorted(sites.items())), max(0, records), writing, garbage)
