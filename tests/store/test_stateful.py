"""Any order of what people and crashes do to a store, against a model of it held in dicts.

Each rule does one thing to the store and to ``runs`` or ``names``; the invariants hold after all of
them.
"""

import shutil

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from actlas.store import DamagedStore, IncompleteRun, Store, UsageError
from actlas.store.io.durable import publish_file
from actlas.store.io.workspace import collect_garbage, workspace
from actlas.store.maintenance.gc import collect, remove, rename
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.runs.commits import SUFFIX, publish
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from tests.store.making import Content, begin_run, fill, flip, open_shard, problems, write_unit
from tests.store.store_model import Model, StoreAndModel

RUN = st.integers(0, 2)  # chooses one of the runs
NAMES = st.sampled_from(["her", "his", "a.b", "x_1"])
SITES = (
    st.lists(
        st.sampled_from(["resid", "q", "attn_out", "nll"]), min_size=1, max_size=3, unique=True
    )
    .map(sorted)
    .map(tuple)
)


class StoreMachine(StoreAndModel):
    """Rules and invariants; runs differ in their seed, and each has content of its own."""

    @rule(seed=st.integers(0, 2))
    def begin(self, seed: int) -> None:
        """Plan a run, or the same again: that changes nothing. One that was removed starts over."""
        content = Content(seed=seed)
        run = begin_run(self.path, content, seed=seed)
        self.runs.setdefault(run.id, Model(content))

    @precondition(lambda self: self.runs)
    @rule(number=RUN, sites=SITES, unit=st.integers(0, 2))
    def write(self, number: int, sites: tuple[str, ...], unit: int) -> None:
        """Extract sites of a unit; what another writer has committed already stays as it is."""
        run_id = self.pick(number)
        run = self.run_of(run_id)
        model = self.runs[run_id]
        first = write_unit(run, model.content, unit, sites)
        assert first == ((unit, sites) not in model.commits)
        model.commits.add((unit, sites))

    @precondition(lambda self: self.runs)
    @rule(number=RUN, sites=SITES)
    def resume(self, number: int, sites: tuple[str, ...]) -> None:
        """Extract what is missing, as the command does: for each unit the sites it lacks."""
        run_id = self.pick(number)
        run = self.run_of(run_id)
        model = self.runs[run_id]
        for unit, missing in run.missing(sites):
            assert not model.held(unit.number) & set(missing)
            assert write_unit(run, model.content, unit.number, missing)
            model.commits.add((unit.number, missing))
        run.refresh()
        assert run.missing(sites) == []

    @precondition(lambda self: self.runs)
    @rule(
        number=RUN,
        sites=SITES,
        unit=st.integers(0, 2),
        step=st.sampled_from(["empty", "part", "whole", "linked"]),
    )
    def killed(self, number: int, sites: tuple[str, ...], unit: int, step: str) -> None:
        """Write as far as ``step`` and leave everything where it is.

        As a process does that is killed: its lock is free.
        """
        run_id = self.pick(number)
        run, model = self.run_of(run_id), self.runs[run_id]
        with workspace(run.folder) as work:
            folder = self.scratch / "killed"
            path = work.folder / f"{unit:08d}-{work.token}.h5"
            writer = open_shard(path, model.content, model.content.plan[unit], sites)
            if step in ("whole", "linked"):
                fill(writer, model.content, model.content.plan[unit], sites)
            else:
                if step == "part":
                    (work.folder / f"{unit:08d}{SUFFIX}.draft").write_bytes(b"{")
                writer.flush()
            if step == "linked":
                publish_file(path, run.folder / "shards" / path.name)
            shutil.copytree(work.folder, folder)
            writer.drop()
        folder.rename(work.folder)

    @precondition(lambda self: self.runs)
    @rule(number=RUN)
    def collect_garbage(self, number: int) -> None:
        """Remove what dead writers left."""
        run_id = self.pick(number)
        collect_garbage(self.run_of(run_id).folder)
        assert self.garbage(run_id) == []

    @precondition(lambda self: self.runs)
    @rule(number=RUN, sites=SITES, unit=st.integers(0, 2))
    def write_while_another_writes(self, number: int, sites: tuple[str, ...], unit: int) -> None:
        """Two writers with the same work: the first to commit wins, the other leaves nothing."""
        run_id = self.pick(number)
        run, model = self.run_of(run_id), self.runs[run_id]
        with workspace(run.folder) as slow:
            writer, commit = self.finished(run, model, slow, sites, unit)
            first = write_unit(run, model.content, unit, sites)
            assert first == ((unit, sites) not in model.commits)
            assert not publish(run.folder, writer, commit)
        model.commits.add((unit, sites))

    @precondition(lambda self: self.runs)
    @rule(number=RUN, name=NAMES)
    def name(self, number: int, name: str) -> None:
        """Give a further name; another run's is refused."""
        run_id = self.pick(number)
        run = self.run_of(run_id)
        if self.names.get(name, run_id) != run_id:
            with pytest.raises(UsageError, match="choose another name"):
                self.store.name(run, name)
            return
        assert name in self.store.name(run, name).names
        self.names[name] = run_id

    @precondition(lambda self: any(model.commits for model in self.runs.values()))
    @rule(data=st.data())
    def damage_and_undo(self, data: st.DataObject) -> None:
        """Flip a bit of a committed shard: verification finds it and reading refuses it.

        Flip it back.
        """
        run_id = data.draw(
            st.sampled_from(sorted(run_id for run_id, model in self.runs.items() if model.commits))
        )
        run = self.run_of(run_id)
        commit = data.draw(st.sampled_from(run.commits))
        site = data.draw(st.sampled_from(sorted(commit.sites)))
        place = self.place(data, commit, site)
        flip(run.path(commit), place)
        assert [f"{run.path(commit)}: {site}" in problem for problem in problems(run)] == [True]
        if site in run.sites and run.index.locations(commit.unit)[0] == commit:
            with pytest.raises(DamagedStore, match=commit.file):
                run.dataset([site])[site].compute()
        flip(run.path(commit), place)
        run.path(commit).chmod(0o444)

    @precondition(lambda self: any(model.commits for model in self.runs.values()))
    @rule(data=st.data())
    def damage_and_repair(self, data: st.DataObject) -> None:
        """Flip a bit of a committed shard and drop what is damaged: one commit, the others stay."""
        run_id = data.draw(
            st.sampled_from(sorted(run_id for run_id, model in self.runs.items() if model.commits))
        )
        run = self.run_of(run_id)
        commit = data.draw(st.sampled_from(run.commits))
        site = data.draw(st.sampled_from(sorted(commit.sites)))
        flip(run.path(commit), self.place(data, commit, site))
        done = repair(run, list(verify(run)))
        assert done.left == ()
        assert [(item.unit, item.sites) for item in done.dropped] == [
            (commit.unit.number, tuple(sorted(commit.sites)))
        ]
        self.runs[run_id].commits.remove((commit.unit.number, tuple(sorted(commit.sites))))

    @precondition(lambda self: self.names)
    @rule(number=st.integers(0, 3), new=NAMES)
    def rename(self, number: int, new: str) -> None:
        """Call a run otherwise; a name of another run is refused."""
        name = sorted(self.names)[number % len(self.names)]
        run_id = self.names[name]
        if self.names.get(new, run_id) != run_id:
            with pytest.raises(UsageError, match="choose another name"):
                rename(self.store, name, new)
            return
        rename(self.store, name, new)
        del self.names[name]
        self.names[new] = run_id

    @precondition(lambda self: self.runs)
    @rule(number=RUN)
    def remove(self, number: int) -> None:
        """Remove a run with all its names."""
        run_id = self.pick(number)
        assert sorted(remove(self.store, run_id)) == sorted(
            n for n, target in self.names.items() if target == run_id
        )
        del self.runs[run_id]
        self.names = {name: target for name, target in self.names.items() if target != run_id}

    @rule()
    def collect(self) -> None:
        """Collect the garbage of the whole store; a second time there is nothing left."""
        assert collect(self.store).problems == ()
        assert collect(self.store).garbage == ()

    @precondition(lambda self: self.runs)
    @rule(number=RUN)
    def pack(self, number: int) -> None:
        """Pack what can be packed; the invariants see the same run."""
        run_id = self.pick(number)
        pack(self.run_of(run_id))

    @precondition(lambda self: self.runs)
    @rule(number=RUN)
    def export(self, number: int) -> None:
        """Export what is complete: the file reads as the run does."""
        run_id = self.pick(number)
        run, model = self.run_of(run_id), self.runs[run_id]
        if not model.complete:
            with pytest.raises((UsageError, IncompleteRun)):
                export(run, self.scratch / "out.h5")
            return
        exported, new = export(run, self.scratch / "out.h5")
        assert new
        for site in model.complete:
            np.testing.assert_array_equal(
                exported.dataset()[site].values, model.content.values[site]
            )
        exported.file.unlink()

    @rule()
    def move(self) -> None:
        """Move the whole store."""
        self.path = self.path.rename(
            self.scratch / ("store" if self.path.name == "moved" else "moved")
        )
        self.store = Store(self.path)

    @invariant()
    def the_store_is_the_model(self) -> None:
        """Runs, names and what each unit holds are the model's, and all of it verifies."""
        assert self.store.names() == self.names
        runs = {run.id: run for run in self.store.runs()}
        assert runs.keys() == self.runs.keys()
        assert self.store.damaged() == {}
        for run_id, model in self.runs.items():
            run = runs[run_id]
            assert set(run.names) == {
                name for name, target in self.names.items() if target == run_id
            }
            assert {
                (commit.unit.number, tuple(sorted(commit.sites))) for commit in run.commits
            } == model.commits
            assert list(run.sites) == model.complete
            assert problems(run) == []

    @invariant()
    def reading_gives_what_was_written(self) -> None:
        """Complete sites are read as they were written, the others are refused by name."""
        for run_id, model in self.runs.items():
            run = self.run_of(run_id)
            if all(model.held(unit.number) for unit in model.content.plan):
                dataset = run.dataset()
                assert sorted(dataset.data_vars) == model.complete
                for site in model.complete:
                    np.testing.assert_array_equal(dataset[site].values, model.content.values[site])
                assert list(dataset["text"].values) == [
                    model.content.labels.text[number] for number in dataset["sentence"].values
                ]
            else:
                with pytest.raises(IncompleteRun):
                    run.dataset()


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestStore = StoreMachine.TestCase
