"""The names of runs.

Sealed records ``names/<name>``, each once more in the folder of its run, so that either mends the
other.

A name is given in the store first and in its run after, and taken in the other order. Killed
between, it works and has no second record. So a second record without a first one is always a name
that was lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import DamagedStore, LaterRecord, UsageError, quoted
from actlas.store.format.run_names import is_run_name
from actlas.store.format.schema import FORMAT_VERSION, RUN_ID, seal, unseal
from actlas.store.io.durable import make_folder, publish_bytes, sync_folder
from actlas.store.io.safe_open import listed, read_record
from actlas.store.io.workspace import workspace

FOLDER = "names"
REMOVED = "removed"  # folder of runs that are being removed, each as its id and a random ending
FORMAT_NAME = "actlas-name"
REMEDY = "`actlas verify --repair` writes it again if its run knows it"


class Names:
    """The names in the store at ``store``."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.folder = store / FOLDER

    def taken(self) -> list[str]:
        """Return all names that have a file, valid or not."""
        return _names_in(self.folder)

    def all(self) -> dict[str, str]:
        """Return name → run id, those left out whose record is damaged."""
        found = {}
        for name in self.taken():
            try:
                found[name] = self._read(self.folder / name)
            except (DamagedStore, FileNotFoundError):
                continue
        return found

    def is_half_removed(self, run_id: str) -> bool:
        """Whether the removal of a run was stopped between the run and its names."""
        return bool(RUN_ID.fullmatch(run_id)) and any((self._store / REMOVED).glob(f"{run_id}-*"))

    def target(self, name: str) -> str | None:
        """Return the id of the run that ``name`` stands for, None where nothing has that name.

        Raises DamagedStore.
        """
        if not is_run_name(name):
            return None
        try:
            return self._read(self.folder / name)
        except FileNotFoundError:
            return None

    def owner(self, name: str) -> str | None:
        """Return the run that has ``name``, by its own record where that of the store is damaged.

        None if no run has it.
        """
        try:
            return self.target(name)
        except DamagedStore:
            return next(self._owners(name), None)

    def of_run(self, run_id: str) -> list[str]:
        """Return the names of a run that work, of those it has a record of."""
        found = []
        for name in _names_in(self._own(run_id)):
            try:
                found += [name] if self.target(name) == run_id else []
            except LaterRecord:  # or the run would get a second name
                raise
            except DamagedStore:
                continue
        return found

    def give(self, name: str, run_id: str, temporary: Path) -> bool:
        """Let ``name`` stand for a run.

        False where it stands for another. A damaged record in its place is replaced.
        """
        try:
            found = self.target(name)
        except LaterRecord:
            raise
        except DamagedStore:
            found = None
            (self.folder / name).unlink(missing_ok=True)
        if found is None and not publish_bytes(
            _record(name, run_id), self.folder / name, temporary=temporary
        ):
            found = self.target(name)
        if found not in (None, run_id):
            return False
        own = self._own(run_id) / name
        if not _is_valid(own, run_id):
            make_folder(own.parent)
            own.unlink(missing_ok=True)
            publish_bytes(_record(name, run_id), own, temporary=temporary)
        return True

    def take(self, name: str, run_id: str) -> None:
        """Let ``name`` stand for nothing."""
        for path in (self._own(run_id) / name, self.folder / name):
            if path.parent.is_dir():
                path.unlink(missing_ok=True)
                sync_folder(path.parent)

    def problems(self) -> Iterator[tuple[str, DamagedStore]]:
        """Yield the names whose record is damaged, here or in their run, or lost here."""
        for name in self.taken():
            try:
                self._read(self.folder / name)
            except DamagedStore as error:
                yield name, error
            except FileNotFoundError:
                continue
        for run_id in self._run_ids():
            for name in _names_in(self._own(run_id)):
                own = self._own(run_id) / name
                if later := self._later(own):
                    yield name, later
                elif not _is_valid(own, run_id):
                    yield (
                        name,
                        DamagedStore(
                            f"{own} is not the record of this name: `actlas verify --repair` "
                            "mends it"
                        ),
                    )
                elif not (self.folder / name).exists():
                    yield (
                        name,
                        DamagedStore(
                            f"{self.folder / name}, a name of run {run_id}, is missing: {REMEDY}"
                        ),
                    )

    def repair(self) -> Iterator[str]:
        """Make what ``problems`` yields right: written again from the other record, or removed.

        Yield what was done.
        """
        for run_id in self._run_ids():
            for own in [self._own(run_id) / name for name in _names_in(self._own(run_id))]:
                if not _is_valid(own, run_id) and not self._later(own):
                    own.unlink()
                    sync_folder(own.parent)
                    known = self.owner(own.name) == run_id and self._give(own.name, run_id)
                    done = "wrote" if known else "removed"
                    yield f"{done} the record of the name {own.name} in run {run_id}"
        for name in sorted(
            {name for name, problem in self.problems() if not isinstance(problem, LaterRecord)}
        ):
            owners = list(self._owners(name))
            if len(owners) == 1 and self._give(name, owners[0]):
                yield f"restored the name {name} of run {owners[0]}"
            elif not owners:
                (self.folder / name).unlink(missing_ok=True)
                sync_folder(self.folder)
                remedy = f"`actlas rename ID {name}` gives it to one"
                yield f"removed the name {name}, which no run knows: {remedy}"

    def _later(self, path: Path) -> LaterRecord | None:
        """Return the error for a record that a later version wrote, None for any other."""
        try:
            self._read(path)
        except LaterRecord as error:
            return error
        except (DamagedStore, FileNotFoundError):
            return None
        return None

    def _give(self, name: str, run_id: str) -> bool:
        with workspace(self._own(run_id).parent) as work:
            return self.give(name, run_id, work.folder)

    def _owners(self, name: str) -> Iterator[str]:
        """Yield the runs that have a valid record of ``name``."""
        return (run_id for run_id in self._run_ids() if _is_valid(self._own(run_id) / name, run_id))

    def _run_ids(self) -> list[str]:
        return [path.name for path in listed(self._store / "runs") if RUN_ID.fullmatch(path.name)]

    def _own(self, run_id: str) -> Path:
        return self._store / "runs" / run_id / FOLDER

    def _read(self, path: Path) -> str:
        try:
            record = unseal(read_record(path), str(path), FORMAT_NAME)
        except LaterRecord:
            raise
        except DamagedStore as error:
            raise DamagedStore(f"{path} is not the record of a name: {REMEDY}") from error
        name, run_id = str(record.get("name")), str(record.get("run"))
        if (
            name != path.name
            and name.casefold() == path.name.casefold()
            and path.name not in _names_in(path.parent)
        ):
            raise UsageError(
                f"the name {name!r} is there, and its file system takes {path.name!r} for the same"
            )
        if name != path.name or not RUN_ID.fullmatch(run_id):
            raise DamagedStore(f"{path} is the record of another name, {quoted(name)}: {REMEDY}")
        return run_id


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in listed(folder) if is_run_name(path.name)]


def _record(name: str, run_id: str) -> bytes:
    return seal({"format": FORMAT_NAME, "version": FORMAT_VERSION, "name": name, "run": run_id})


def _is_valid(path: Path, run_id: str) -> bool:
    try:
        return read_record(path) == _record(path.name, run_id)
    except (FileNotFoundError, NotADirectoryError, DamagedStore):
        return False
