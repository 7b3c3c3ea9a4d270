"""The store as a whole.

Its runs, their names, and which run answers a specification or comes nearest to it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from actlas.store.errors import DamagedStore, UsageError, quoted, unknown
from actlas.store.format.run_names import check_run_name, cleaned
from actlas.store.format.run_record import FILE, RunRecord
from actlas.store.format.schema import (
    FORMAT,
    FORMAT_VERSION,
    RUN_ID,
    Json,
    Unit,
    identity,
    seal,
    unseal,
)
from actlas.store.io.durable import make_folder, publish_bytes
from actlas.store.io.safe_open import listed, placed_local, placed_store, read_record
from actlas.store.io.workspace import workspace
from actlas.store.labels.columns import Columns
from actlas.store.overview import Overview
from actlas.store.runs.commits import was_begun
from actlas.store.runs.creating import create_run
from actlas.store.runs.names import REMOVED, Names
from actlas.store.runs.run import Run

SHORTEST_PREFIX = 4


class Store(Overview):
    """An existing store at ``path``; raises UsageError where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = placed_store(path)
        self._names = Names(self.path)
        marker = self.path / "store.json"
        if not marker.is_file():
            found = (
                "not an actlas store (it has no store.json)" if self.path.exists() else "not there"
            )
            raise UsageError(
                f"{self.path} is {found}: give another --store, or make one with `actlas extract`"
            )
        unseal(read_record(marker), str(marker), FORMAT)

    @classmethod
    def is_at(cls, path: str | Path) -> bool:
        """Whether there is a store at ``path``.

        Raises UsageError for a file, or a folder of other things.
        """
        folder = placed_local(path)
        if not folder.exists():
            return False
        others = [folder] if not folder.is_dir() else list(folder.iterdir())
        # asked last: a store that is made meanwhile has this before anything else
        if (folder / "store.json").exists():
            return True
        # drafts of a store that is being made do not count
        others = [entry for entry in others if not entry.name.startswith("store.json.")]
        if others:
            raise UsageError(
                f"{folder} is not an actlas store and not empty ({others[0].name}): give another "
                "--store"
            )
        return False

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Open the store at ``path``, made first where nothing is there.

        Raises UsageError for a folder of other things.
        """
        folder = placed_local(path)
        if not cls.is_at(folder):
            make_folder(folder)
            publish_bytes(
                seal({"format": FORMAT, "version": FORMAT_VERSION}),
                folder / "store.json",
                temporary=folder,
            )
        # "removed" too: a full disk may have no room for a folder when a run is to be removed
        for part in ("runs", "names", REMOVED):
            make_folder(folder / part)
        return cls(folder)

    def names(self) -> dict[str, str]:
        """Return name → run id; ``damaged`` has the names whose record is."""
        return self._names.all()

    def ids(self, beginning: str = "") -> list[str]:
        """Return the ids of all runs that begin so, readable or not."""
        found = (path.name for path in listed(self.path / "runs"))
        return [each for each in found if each.startswith(beginning) and self._is_run(each)]

    def survey(self) -> tuple[list[Run], dict[str, DamagedStore]]:
        """Return ``runs``, of one time those without edits first.

        ``damaged`` comes with them, from one look at the store.
        """
        named = self.names()
        attempts = {run_id: self._attempt(run_id, named) for run_id in self.ids()}
        runs = [run for run in attempts.values() if isinstance(run, Run)]
        lost = dict(self._names.problems())
        lost |= {
            name: self._lost(name, run_id)
            for name, run_id in named.items()
            if run_id not in attempts and not self._names.is_half_removed(run_id)
        }
        damaged = {
            run_id: error for run_id, error in attempts.items() if isinstance(error, DamagedStore)
        }
        return sorted(
            runs,
            key=lambda run: (str(run.description.get("created")), bool(run.baseline_id), run.name),
        ), lost | damaged

    def run(self, reference: str) -> Run:
        """Return the run of a name, an id or an unambiguous beginning of an id.

        Raises UsageError, listing the names.
        """
        return self._open(self.resolve(reference), known=unicodedata.normalize("NFC", reference))

    def resolve(self, reference: str) -> str:
        """Return the id of ``run``'s reference and leave the run itself.

        It may be damaged, and is not read.
        """
        reference = unicodedata.normalize("NFC", reference)
        target = self._names.target(reference)
        if self._is_run(target or reference):
            return target or reference
        if target and self._names.is_half_removed(target):  # the name goes with it, in `gc`
            left = [name for name, run_id in self.names().items() if run_id != target]
            raise unknown("run", reference, left)
        if target:
            raise self._lost(reference, target)
        # a variant answers to every name of its baseline: her.skip-layer-3, also.skip-layer-3
        for variant in self.variants_named(reference):
            return variant.id
        matches = self.ids(reference) if len(reference) >= SHORTEST_PREFIX else []
        if len(matches) > 1:
            raise UsageError(f"run {quoted(reference)} is ambiguous: {', '.join(sorted(matches))}")
        if not matches:
            named = self.names()  # all of them are read on a miss alone
            raise unknown("run", reference, [*named, *(set(self.ids()) - set(named.values()))])
        return matches[0]

    def find(self, run_id: str) -> Run | None:
        """Return the run of an id, or None."""
        return self._open(run_id) if self._holds(run_id) else None

    def add(
        self,
        specification: Json,
        description: Json,
        units: Sequence[Unit],
        columns: Columns | None = None,
        token_columns: Columns | None = None,
    ) -> Run:
        """Return the run of ``specification``, made first where it is new.

        An older one keeps its units.

        columns, token_columns: first labels of a new run; a variant has those of its baseline.
        """
        record = RunRecord(specification, description, tuple(units))
        edits = specification.get("edits")
        shares_labels = edits and self._holds(identity({**specification, "edits": []}))
        labels = None if shares_labels else columns or {}
        new = create_run(self.path / "runs" / record.id, record, labels, token_columns or {})
        return self._open(record.id, named={} if new else None)

    def check_name(self, name: str, run_id: str) -> None:
        """Raise UsageError unless ``name`` is well formed and free, or already that run's."""
        check_run_name(name)
        taken = self._names.owner(name)
        if taken not in (None, run_id):
            raise UsageError(f"the name {name!r} is run {taken}'s already: choose another name")

    def name(self, run: Run, name: str) -> Run:
        """Give ``run`` a (further) name; raises UsageError if it is malformed or another run's."""
        self.check_name(name, run.id)
        if name not in self._names.of_run(run.id):
            with workspace(run.folder) as work:
                if not self._names.give(name, run.id, work.folder):
                    self.check_name(name, run.id)
        return self._open(run.id, known=name)

    def unname(self, run_id: str, name: str) -> None:
        """Take a name from a run."""
        self._names.take(name, run_id)

    def repair_names(self) -> list[str]:
        """Write damaged and lost names again, as the runs know them, and remove what none knows.

        Return what was done.
        """
        return list(self._names.repair())

    def free_name(self, wanted: str, reserved: str | None = None) -> str:
        """Return ``wanted``, cleaned.

        A number behind it makes it free and not the ``reserved`` name.
        """
        base = cleaned(wanted) or "run"
        taken = {*self._names.taken(), reserved}
        numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        return next(name for name in (base, *numbered) if name not in taken)

    def _is_run(self, run_id: str) -> bool:
        """Whether there is a run of an id, readable or not."""
        folder = self.path / "runs" / run_id
        return bool(RUN_ID.fullmatch(run_id)) and was_begun(folder)

    def _holds(self, run_id: str) -> bool:
        return bool(RUN_ID.fullmatch(run_id)) and (self.path / "runs" / run_id / FILE).is_file()

    def _lost(self, name: str, run_id: str) -> DamagedStore:
        return DamagedStore(
            f"{self.path / 'names' / name} points to run {run_id[:100]!r}, which is not there: "
            "remove the file"
        )

    def _attempt(self, run_id: str, named: Mapping[str, str]) -> Run | DamagedStore:
        try:
            return self._open(run_id, named)
        except DamagedStore as error:
            return error

    def _open(
        self, run_id: str, named: Mapping[str, str] | None = None, known: str | None = None
    ) -> Run:
        """Open a run with its names.

        Those of ``named``, or those it has a record of and ``known``, if that is one.
        """
        if named is not None:
            names = {name for name, target in named.items() if target == run_id}
        else:
            names = {
                *self._names.of_run(run_id),
                *([known] if known and self._names.target(known) == run_id else []),
            }
            # named by a command that was killed before the run had its record
            names = names or {name for name, target in self.names().items() if target == run_id}
        return Run(self.path / "runs" / run_id, sorted(names))
