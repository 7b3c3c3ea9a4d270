"""A store and an export read over HTTP: equal to the disk, checked, cached, refused in one line."""

import pickle
import shutil

import numpy as np
import pytest
import xarray as xr

from actlas.store import DamagedStore, Store, StoreError, UsageError
from actlas.store.maintenance.index_file import write_index
from actlas.store.remote import cache, objects
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from tests.store.making import Content, flip, make_run
from tests.web import serving

pytest.importorskip("aiohttp", reason="needs the extra remote")
pytest.importorskip("fsspec", reason="needs the extra remote")


@pytest.fixture
def folder(stored, tmp_path, monkeypatch):
    """A folder with an indexed store in it, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_held", {})
    shutil.copytree(stored.folder.parents[1], tmp_path / "web" / "store")
    write_index(tmp_path / "web" / "store")
    return tmp_path / "web"


@pytest.fixture
def server(folder):
    with serving(folder) as server:
        yield server


def shards(folder):
    return sorted(folder.glob("store/runs/*/shards/*.h5"))


def test_a_store_is_read_as_on_a_disk(server, stored):
    store = Store(f"{server.url}/store/")
    assert store.names() == {"her": stored.id}
    assert store.survey()[1] == {}
    run = store.run("her")
    assert run.units == stored.units
    xr.testing.assert_identical(run.dataset().load(), stored.dataset().load())
    assert run.sentence_labels().equals(stored.sentence_labels())
    assert str(run.folder) == f"{server.url}/store/runs/{stored.id}"


def test_a_block_is_one_range_and_then_none(server, stored):
    run = Store(f"{server.url}/store").run("her")
    view = run.dataset("q")["q"]
    server.asked.clear()
    wanted = stored.dataset("q")["q"].isel(layer=1).values
    np.testing.assert_array_equal(view.isel(layer=1), wanted)
    gets = [each for each in server.asked if each[0] == "GET"]
    assert len(gets) == len(run.units)
    assert all(each[2] for each in gets)
    server.asked.clear()
    again = Store(f"{server.url}/store").run("her").dataset("q", check=False)["q"]
    server.asked.clear()
    np.testing.assert_array_equal(again.isel(layer=1), wanted)
    assert server.asked == []


def test_another_process_reads_by_the_paths_it_got(server, stored):
    blocks = Store(f"{server.url}/store").run("her").dataset("q")["q"].data
    again = pickle.loads(pickle.dumps(blocks))
    np.testing.assert_array_equal(again.compute(), stored.dataset("q")["q"])


def test_an_export_is_read(server, folder, stored):
    export(stored, folder / "her.h5")
    run = Exported(f"{server.url}/her.h5")
    assert run.id == stored.id
    xr.testing.assert_equal(run.dataset().load(), stored.dataset().load())


def test_damage_in_the_cache_costs_a_request(server, tmp_path, stored):
    run = Store(f"{server.url}/store").run("her")
    wanted = run.dataset("q")["q"].values
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 3 * len(run.units)
    flip(kept[0], 3)
    kept[1].write_bytes(b"short")
    server.asked.clear()
    np.testing.assert_array_equal(run.dataset("q", check=False)["q"].values, wanted)
    assert len([each for each in server.asked if each[0] == "GET"]) == 2


def test_the_cache_keeps_its_limit(server, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "300")
    run = Store(f"{server.url}/store").run("her")
    run.dataset(("q", "resid")).load()
    kept = [path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert 0 < sum(kept) <= 300
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "lots")
    with pytest.raises(UsageError, match="ACTLAS_BLOCK_CACHE=lots: expected a number of bytes"):
        Store(f"{server.url}/store").run("her").dataset("attn_out").load()


def test_nothing_is_cached_without_a_home(server, stored, monkeypatch):
    """As in a container whose user has no name: HOME is not set, and passwd has no entry."""

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(cache.Path, "home", home)
    view = Store(f"{server.url}/store").run("her").dataset("q")["q"]
    np.testing.assert_array_equal(view, stored.dataset("q")["q"])


def test_nothing_is_cached_where_it_is_switched_off(server, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0")
    Store(f"{server.url}/store").run("her").dataset("q").load()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("check", [True, False])
def test_an_altered_block_is_an_error(server, folder, stored, check):
    site = stored.records[0].sites["q"]
    flip(
        folder / "store" / stored.path(stored.records[0]).relative_to(stored.folder.parents[1]),
        site.place(1),
    )
    view = Store(f"{server.url}/store").run("her").dataset("q", check=check)["q"]
    view.isel(layer=0).load()
    with pytest.raises(DamagedStore, match=r"q\[1\] was altered") as caught:
        view.load()
    assert "\n" not in str(caught.value)


def test_what_changes_under_way_is_an_error(server, folder):
    view = Store(f"{server.url}/store").run("her").dataset("q")["q"]
    view.isel(layer=0).load()
    for path in shards(folder):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes())  # the same bytes at another time: another ETag
    with pytest.raises(StoreError, match="changed while it was read: open the store again"):
        view.isel(layer=1).load()
    Store(f"{server.url}/store").run("her").dataset("q").load()


def test_a_missing_file_is_an_error(server, folder):
    run = Store(f"{server.url}/store").run("her")
    view = run.dataset("q", check=False)["q"]
    _ = run.labels
    objects.forget(server.url)
    for path in shards(folder):
        path.unlink()
    with pytest.raises(DamagedStore, match="not there any more: run `actlas index` again"):
        view.load()


def test_a_missing_record_is_an_error_and_no_smaller_run(server, folder):
    for path in folder.glob("store/runs/*/commits/*.json"):
        path.unlink()
        break
    with pytest.raises(DamagedStore, match="not there any more: run `actlas index` again"):
        _ = Store(f"{server.url}/store").run("her").records


@pytest.mark.parametrize(
    ("status", "message"), [(403, "access is refused"), (500, "cannot be read .*answers 500")]
)
def test_what_a_server_refuses_is_said(server, status, message):
    server.status = status
    with pytest.raises(StoreError, match=message) as caught:
        Store(f"{server.url}/store")
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)


def test_no_ranges_no_numbers(server):
    run = Store(f"{server.url}/store").run("her")
    server.ranges = False
    objects.forget(server.url)
    with pytest.raises(StoreError, match="gives no ranges of bytes"):
        run.dataset("q", check=False)["q"].load()


def test_no_store_no_server_no_query(folder, server):
    with pytest.raises(UsageError, match=r"index.json is not there: expected the URL of a store"):
        Store(f"{server.url}/nowhere")
    with pytest.raises(UsageError, match="is not there: give a file that `actlas export` made"):
        Exported(f"{server.url}/none.h5")
    with pytest.raises(UsageError, match="without"):
        Store(f"{server.url}/store?key=1")
    with pytest.raises(StoreError, match="cannot be read"):
        Store("http://127.0.0.1:9/store")


def test_an_altered_index_is_an_error(server, folder):
    flip(folder / "store" / "index.json", 40)
    with pytest.raises(DamagedStore, match=r"index.json"):
        Store(f"{server.url}/store")


def test_what_grew_is_seen_after_the_next_index(server, folder):
    make_run(folder / "store", Content(seed=3), "other")
    assert set(Store(f"{server.url}/store").names()) == {"her"}
    write_index(folder / "store")
    assert set(Store(f"{server.url}/store").names()) == {"her", "other"}


def test_writing_stays_local(server):
    store = Store(f"{server.url}/store")
    run = store.run("her")
    for write in (
        lambda: Store.create(f"{server.url}/store"),
        lambda: Store.is_at(f"{server.url}/store"),
        lambda: store.name(run, "new"),
        lambda: store.unname(run.id, "her"),
        lambda: export(run, run.folder / "her.h5"),
        lambda: (run.folder / "shards").mkdir(),
        lambda: (run.folder / "run.json").read_bytes(),
    ):
        with pytest.raises((UsageError, StoreError)):
            write()
    with pytest.raises(UsageError, match="lies on the web and is only read"):
        (run.folder / "x").touch()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_of_a_training_read_too(server, stored):
    """They are forked from a process that has connections already, which do not survive that."""
    torch = pytest.importorskip("torch")
    run = Store(f"{server.url}/store").run("her")
    run.dataset("q")["q"].isel(layer=0).load()
    rows = run.to_torch("q", 1, 4)
    loader = torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2, timeout=60)
    parts = list(loader)
    tokens = torch.cat([token for _, token in parts]).numpy()
    assert sorted(tokens.tolist()) == list(range(stored.tokens))
    found = torch.cat([batch for batch, _ in parts]).numpy()
    np.testing.assert_array_equal(found, stored.dataset("q")["q"].isel(layer=1, token=tokens))
