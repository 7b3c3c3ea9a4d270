"""The store as a whole: its runs, their names, and which run answers a specification or comes nearest to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from actlas.store.commit import RUN_ID
from actlas.store.durable import make_folder, publish_bytes
from actlas.store.errors import DamagedStore, UsageError, unknown
from actlas.store.leftovers import workspace
from actlas.store.run import Run
from actlas.store.schema import FORMAT, FORMAT_VERSION, Json, Unit, identity, seal, unseal

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{24,}")
SHORTEST_PREFIX = 4
ABSENT = "absent"  # stands for a field that only the other specification has


class Store:
    """An existing store at ``path``; raises UsageError where there is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        marker = self.path / "store.json"
        if not marker.is_file():
            found = "no actlas store (it has no store.json)" if self.path.exists() else "not there"
            raise UsageError(f"{self.path} is {found}: give another --store, or make one with `actlas extract`")
        unseal(marker.read_bytes(), str(marker), FORMAT)

    @classmethod
    def is_at(cls, path: str | Path) -> bool:
        """Whether there is a store at ``path``; raises UsageError for a file, or a folder of other things."""
        folder = Path(path)
        if (folder / "store.json").exists():
            return True
        others = [folder] if folder.exists() and not folder.is_dir() else list(folder.glob("*"))
        others = [entry for entry in others if not entry.name.startswith("store.json.")]  # drafts of one being made
        if others:
            raise UsageError(f"{folder} is no actlas store and not empty ({others[0].name}): give another --store")
        return False

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Open the store at ``path``, made first where nothing is there; raises UsageError for a folder of other things."""
        folder = Path(path)
        if not cls.is_at(folder):
            make_folder(folder)
            publish_bytes(seal({"format": FORMAT, "version": FORMAT_VERSION}), folder / "store.json", aside=folder)
        for part in ("runs", "names"):
            make_folder(folder / part)
        return cls(folder)

    def names(self) -> dict[str, str]:
        """Return name → run id."""
        paths = sorted(path for path in (self.path / "names").glob("*") if NAME.fullmatch(path.name))
        return {path.name: path.read_text(errors="replace").strip() for path in paths}

    def runs(self) -> list[Run]:
        """Return all runs, oldest first, of one time those without edits first."""
        named = self.names()
        runs = [self._open(path.parent.name, named) for path in (self.path / "runs").glob("*/run.json")]
        return sorted(
            runs, key=lambda run: (run.description.get("created", ""), bool(run.specification.get("edits")), run.name)
        )

    def run(self, reference: str) -> Run:
        """Return the run of a name, an id or an unambiguous beginning of an id; raises UsageError, listing the names."""
        named = self.names()
        found = self.find(named.get(reference, reference))
        if found is not None:
            return found
        if reference in named:
            raise DamagedStore(f"{self.path / 'names' / reference} points to run {named[reference]!r}, which is not there")
        ids = [path.parent.name for path in (self.path / "runs").glob("*/run.json")]
        matches = [run_id for run_id in ids if len(reference) >= SHORTEST_PREFIX and run_id.startswith(reference)]
        if len(matches) > 1:
            raise UsageError(f"run {reference!r} is ambiguous: {', '.join(sorted(matches))}")
        if not matches:
            raise unknown("run", reference, [*named, *(set(ids) - set(named.values()))])
        return self._open(matches[0])

    def find(self, run_id: str) -> Run | None:
        """Return the run of an id, or None."""
        known = RUN_ID.fullmatch(run_id) and (self.path / "runs" / run_id / "run.json").is_file()
        return self._open(run_id) if known else None

    def variants(self, baseline: Run) -> list[Run]:
        """Return the runs with edits of which ``baseline`` is the run without, oldest first."""
        return [run for run in self.runs() if run.specification.get("edits") and _unedited(run.specification) == baseline.id]

    def nearest(self, specification: Json) -> tuple[Run, list[str]] | None:
        """Return the run whose specification differs in the fewest fields, and those fields; None in an empty store."""
        candidates = [(run, differences(specification, run.specification)) for run in self.runs()]
        return min(candidates, key=lambda candidate: len(candidate[1]), default=None)

    def add(self, specification: Json, description: Json, units: Sequence[Unit]) -> Run:
        """Return the run of ``specification``, made first where it is new; the units of an older one stay as they are."""
        run_id = identity(specification)
        folder = self.path / "runs" / run_id
        for part in ("commits", "shards", "tmp"):
            make_folder(folder / part)
        record = {
            "format": "actlas-run",
            "version": FORMAT_VERSION,
            "specification": specification,
            "description": description,
            "units": [[unit.number, unit.first, unit.sentences, unit.tokens] for unit in units],
        }
        if not (folder / "run.json").exists():
            with workspace(folder) as work:
                publish_bytes(seal(record), folder / "run.json", aside=work.folder)
        return self._open(run_id)

    @staticmethod
    def check_form(name: str) -> None:
        """Raise UsageError unless ``name`` can be the name of a run."""
        if not NAME.fullmatch(name) or RUN_ID.fullmatch(name):
            raise UsageError(f"bad run name {name!r}: letters, digits, '.', '_' and '-', 100 at most, not the form of a run id")

    def check_name(self, name: str, run_id: str) -> None:
        """Raise UsageError unless ``name`` is well formed and free, or already that run's."""
        self.check_form(name)
        taken = self.names().get(name, run_id)
        if taken != run_id:
            raise UsageError(f"the name {name!r} is run {taken}'s already: choose another --name")

    def name(self, run: Run, name: str) -> Run:
        """Give ``run`` a (further) name; raises UsageError if it is malformed or another run's."""
        self.check_name(name, run.id)
        if name not in self.names():
            with workspace(run.folder) as work:
                if not publish_bytes(f"{run.id}\n".encode(), self.path / "names" / name, aside=work.folder):
                    self.check_name(name, run.id)
        return self._open(run.id)

    def free_name(self, wanted: str, reserved: str | None = None) -> str:
        """Return ``wanted``, cleaned, or with the first number behind it that makes it free and not the ``reserved`` name."""
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-._")[:90] or "run"
        base = f"run-{base}" if RUN_ID.fullmatch(base) else base
        taken = {*self.names(), reserved}
        numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        return next(name for name in (base, *numbered) if name not in taken)

    def _open(self, run_id: str, named: Mapping[str, str] | None = None) -> Run:
        named = self.names() if named is None else named
        return Run(self.path / "runs" / run_id, [name for name, target in named.items() if target == run_id])


def _unedited(specification: Json) -> str:
    return identity({**specification, "edits": []})


def differences(one: Json, other: Json) -> list[str]:
    """Return the dotted names of the fields in which two specifications differ, each with both values."""
    left, right = dict(_leaves(one)), dict(_leaves(other))
    return [
        f"{key}: {_shown(left.get(key, ABSENT))} here, {_shown(right.get(key, ABSENT))} there"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, ABSENT) != right.get(key, ABSENT)
    ]


def _leaves(record: Json, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in record.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: object) -> str:
    text = str(value)
    return f"{text[:16]}…" if DIGEST.fullmatch(text) else text
