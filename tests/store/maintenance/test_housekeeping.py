import signal

import pytest

from actlas.store import DamagedStore, Store, StoreError, UsageError
from actlas.store.io.workspace import workspace
from actlas.store.maintenance.disk_usage import usage
from actlas.store.maintenance.gc import collect, remove, rename, tree_bytes
from actlas.store.maintenance.verify import verify
from actlas.store.runs.names import REMOVED
from tests.store.killing import killed_stores
from tests.store.maintenance.small_stores import SMALL, everything
from tests.store.making import begin_run, flip, make_run


def test_a_name_is_replaced_and_the_others_stay(store):
    run = store.name(store.run("clean"), "alias")
    renamed, old = rename(store, "clean", "tidy")
    assert (renamed.id, renamed.names, old) == (run.id, ("alias", "tidy"), "clean")
    assert "clean" not in store.names()
    assert rename(store, "alias", "tidy")[0].names == ("tidy",)  # two names become one
    before = everything(store)
    assert rename(store, "tidy", "tidy")[1] is None
    assert everything(store) == before


def test_an_id_stands_for_the_only_name(store):
    run = store.run("clean")
    assert rename(store, run.id[:6], "tidy")[0].names == ("tidy",)
    nameless = begin_run(store.path, SMALL, third=3)
    assert rename(store, nameless.id, "found")[1] is None
    assert store.run("found").id == nameless.id
    store.name(run, "alias")
    with pytest.raises(
        UsageError, match="has several names, alias, tidy: give the one to be replaced"
    ):
        rename(store, run.id, "third")


def test_a_name_of_another_run_or_no_name_at_all_changes_nothing(store):
    before = everything(store)
    for new, message in [
        ("other", "the name 'other' is run"),
        ("a/b", "bad run name"),
        ("0" * 16, "bad run name"),
    ]:
        with pytest.raises(UsageError, match=message):
            rename(store, "clean", new)
    with pytest.raises(UsageError, match="unknown run 'clear': did you mean clean"):
        rename(store, "clear", "new")
    assert everything(store) == before


def test_a_rename_killed_anywhere_leaves_the_run_a_name(store, tmp_path):
    imports, action = (
        "from actlas.store.maintenance.gc import rename",
        'rename(Store(store), "clean", "tidy")',
    )
    stores = [
        Store(path) for path in killed_stores(store.path, tmp_path / "killed", imports, action)
    ]
    found = [
        store.run(next(name for name in ("clean", "tidy") if name in store.names())).names
        for store in stores
    ]
    assert found[-1] == ("tidy",)
    assert (
        {("clean",), ("clean", "tidy")} <= set(found) <= {("clean",), ("clean", "tidy"), ("tidy",)}
    )


def test_a_baseline_stays_while_variants_need_it(store):
    clean, before = store.run("clean"), everything(store)
    assert sorted(run.name for run in store.variants(clean.id)) == ["scaled", "skipped"]
    assert store.variants(store.run("skipped").id) == store.variants(store.run("other").id) == []
    with pytest.raises(
        StoreError, match="is the baseline of scaled, skipped: remove them first, or give --force"
    ):
        remove(store, clean.id)
    assert everything(store) == before
    remove(store, store.run("scaled").id)
    with pytest.raises(StoreError, match="is the baseline of skipped: remove it first"):
        remove(store, clean.id)
    assert remove(store, clean.id, force=True) == ["clean"]
    assert set(store.names()) == {"other", "skipped"}


def test_a_removed_run_is_missing_and_the_others_are_as_they_were(store):
    run = store.name(store.run("other"), "alias")
    rest = {
        path: content
        for path, content in everything(store).items()
        if run.folder not in path.parents
    }
    assert remove(store, run.id) == ["alias", "other"]
    kept = {path for path in rest if path.name not in ("alias", "other")}
    assert everything(store) == {path: rest[path] for path in kept}
    assert store.find(run.id) is None
    make_run(store.path, SMALL, "other", edits=[], other=1)  # and can be made again
    assert [item.problems for item in verify(store.run("other"))] == [(), ()]


def test_a_damaged_run_can_be_removed(store):
    run_id = store.run("skipped").id
    flip(store.path / "runs" / run_id / "run.json", 30)
    with pytest.raises(DamagedStore):
        store.run("skipped")
    assert remove(store, store.resolve("skipped")) == ["skipped"]
    assert sorted(run.name for run in store.runs()) == ["clean", "other", "scaled"]


def test_a_run_that_is_written_to_stays_even_by_force(store, writer):
    before = everything(store)
    for force in (False, True):
        with pytest.raises(
            StoreError, match="is being written to: wait for its extraction to end, or stop it"
        ):
            remove(store, store.run("clean").id, force=force)
    assert everything(store) == before
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert remove(store, store.run("clean").id, force=True) == ["clean"]


@pytest.mark.slow
def test_a_removal_killed_anywhere_leaves_a_whole_run_or_work_for_gc(store, tmp_path):
    run = store.run("other")
    imports = "from actlas.store.maintenance.gc import remove"
    stores = killed_stores(
        store.path, tmp_path / "killed", imports, f'remove(Store(store), "{run.id}")'
    )
    whole = 0
    for path in stores:
        killed = Store(path)
        if (path / "runs" / run.id).exists():
            whole += 1
            assert [item.problems for item in verify(killed.run("other"))] == [(), ()]
            assert {item.path.parent.name for item in collect(killed).garbage} <= {"tmp"}
            assert killed.run("other").missing(("q", "nll")) == []
            continue
        assert len(killed.runs()) == 3
        assert killed.damaged() == {}  # a name that is left is nobody's loss
        with pytest.raises(UsageError, match="other"):
            killed.run("other")
        collect(killed)
        assert collect(killed).garbage == ()
        assert set(killed.names()) == {"clean", "scaled", "skipped"}
        assert list((path / REMOVED).iterdir()) == []
        make_run(path, SMALL, "other", edits=[], other=1)
    assert 0 < whole < len(stores) - 5


def test_links_are_not_followed_out_of_the_store(store, tmp_path):
    precious = tmp_path / "precious" / "thesis"
    precious.mkdir(parents=True)
    (precious / "chapter-1.h5").touch()
    run = store.run("other")
    for place in ("tmp", "shards"):
        moved = (run.folder / place).rename(run.folder / "moved")
        (run.folder / place).symlink_to(precious.parent, target_is_directory=True)
        assert f"{place} is a link" in collect(store).problems[0]
        with pytest.raises(DamagedStore, match="is a link"), workspace(run.folder):
            pass
        (run.folder / place).unlink()
        moved.rename(run.folder / place)
    (store.path / REMOVED).rmdir()
    (store.path / REMOVED).symlink_to(precious.parent, target_is_directory=True)
    for action in (lambda: collect(store), lambda: remove(store, run.id)):
        with pytest.raises(DamagedStore, match="removed is a link"):
            action()
    (store.path / REMOVED).unlink()
    (store.path / REMOVED).mkdir()
    (store.path / REMOVED / "one").symlink_to(precious.parent, target_is_directory=True)
    collect(store)
    assert (precious / "chapter-1.h5").exists()


def test_usage_adds_up_to_the_files(store):
    used = usage(store)
    for each in used.runs:
        assert each.total == tree_bytes(each.run.folder)
        assert each.sites == {"nll": 4 * 6, "q": 2 * 6 * 3 * 10}
    assert used.total == sum(each.total for each in used.runs)
    assert usage(Store.create(store.path.parent / "empty")).total == 0
