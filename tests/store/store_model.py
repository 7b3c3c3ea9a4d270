"""What a store should hold, as dicts, and the store that is held against it."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from actlas.store import Run, Store
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.pools import Origin
from actlas.store.io.workspace import Workspace
from actlas.store.writing.shard import ShardWriter
from tests.store.making import Content, fill, open_shard


@dataclass
class Model:
    """What one run should hold."""

    content: Content
    commits: set[tuple[int, tuple[str, ...]]] = field(default_factory=set)  # unit, sites

    def held(self, unit: int) -> frozenset[str]:
        return frozenset(site for number, sites in self.commits if number == unit for site in sites)

    @property
    def complete(self) -> list[str]:
        return sorted(
            frozenset.intersection(*(self.held(unit.number) for unit in self.content.plan))
        )


class StoreAndModel(RuleBasedStateMachine):
    """A store in a folder of its own, beside the model of it."""

    @initialize()
    def make(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="actlas-stateful-"))
        self.path = self.scratch / "store"
        self.store = Store.create(self.path)
        self.runs: dict[str, Model] = {}
        self.names: dict[str, str] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run_of(self, run_id: str) -> Run:
        return self.store.run(run_id)

    def pick(self, number: int) -> str:
        """Return the id of one of the runs."""
        return sorted(self.runs)[number % len(self.runs)]

    def finished(
        self, run: Run, model: Model, work: Workspace, sites: tuple[str, ...], unit: int
    ) -> tuple[ShardWriter, CommitRecord]:
        path = work.folder / f"{unit:08d}-{work.token}.h5"
        planned = model.content.plan[unit]
        writer = open_shard(path, model.content, planned, sites)
        record = fill(writer, model.content, planned, sites)
        return writer, record.commit(run.id, planned, path.name, Origin({}))

    def place(self, data: st.DataObject, commit: UnitLocation, site: str) -> int:
        """Draw the place of a byte of a site, which may lie in a file of several units."""
        stored = commit.sites[site]
        block = data.draw(st.integers(0, stored.layout.blocks - 1))
        return stored.place(block) + data.draw(st.integers(0, stored.layout.block_bytes - 1))

    def garbage(self, run_id: str) -> list[Path]:
        folder = self.run_of(run_id).folder
        committed = {commit.file for commit in self.run_of(run_id).commits}
        return [
            *(folder / "tmp").iterdir(),
            *(path for path in (folder / "shards").iterdir() if path.name not in committed),
        ]
