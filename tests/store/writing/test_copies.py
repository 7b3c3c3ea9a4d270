"""Copies of a run in the formats of other libraries, read back by these and equal."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from actlas.store.errors import StoreError, UsageError
from actlas.store.exporting.content import Content
from actlas.store.exporting.formats import Contexts, copy
from actlas.store.exporting.huggingface import context_starts
from actlas.store.exporting.safetensors import write
from actlas.store.writing.selection import Selection, plan_export

WHOLE = Selection()
needs = pytest.importorskip


def columns_of(run):
    """Return column → its values, (token, …), as a view has them."""
    dataset, found = run.dataset(), {}
    for site, array in dataset.data_vars.items():
        for number in range(array.sizes[array.dims[0]]) if array.dims[0] != "token" else [None]:
            name = site if number is None else f"{site}.{number}"
            found[name] = (array if number is None else array[number]).values
    return dataset, found


def test_safetensors(stored, tmp_path):
    safe_open = needs("safetensors").safe_open
    copy(stored, tmp_path / "out", "safetensors", WHOLE)
    dataset, columns = columns_of(stored)
    assert {path.stem for path in (tmp_path / "out").glob("*.safetensors")} == set(columns)
    record = json.loads((tmp_path / "out" / "actlas.json").read_text())
    for name, wanted in columns.items():
        with safe_open(tmp_path / "out" / f"{name}.safetensors", framework="pt") as file:
            tensor = file.get_tensor("activations")
            np.testing.assert_array_equal(tensor.float().numpy(), wanted)
            assert str(tensor.dtype) == f"torch.{stored_dtype(stored, name)}"
            for label in ("token_id", "sentence", "position"):
                np.testing.assert_array_equal(file.get_tensor(label), dataset[label].values)
            said = file.metadata()
        assert said["run"] == stored.id
        assert said["site"] == name.split(".")[0]
        assert said["digest"] == record["columns"][name]["digest"]
    assert record["specification"] == stored.specification


def stored_dtype(run, column):
    return run.records[0].sites[column.split(".")[0]].layout.dtype


@pytest.mark.parametrize("largest", [4150, 4300])
def test_safetensors_in_parts(stored, tmp_path, largest):
    safe_open = needs("safetensors").safe_open
    plan = plan_export(stored, Selection(sites=("resid",)))
    write(Content(plan), tmp_path, largest)
    for depth in range(4):
        parts = sorted(tmp_path.glob(f"resid.{depth}-*.safetensors"))
        assert all(path.stat().st_size <= largest for path in parts)
        found, first = [], 0
        for path in parts:
            with safe_open(path, framework="np") as file:
                assert file.metadata()["first_token"] == str(first)
                found.append(file.get_tensor("activations"))
                first += len(found[-1])
        assert path.stem.endswith(f"-of-{len(parts):05d}")
        wanted = stored.dataset("resid")["resid"][depth]
        np.testing.assert_array_equal(np.concatenate(found), wanted)


def test_parquet(stored, tmp_path):
    needs("pyarrow")
    import pandas as pd
    import pyarrow.parquet as pq

    copy(stored, tmp_path / "out", "parquet", WHOLE)
    frame = pd.read_parquet(tmp_path / "out")
    dataset, columns = columns_of(stored)
    for name, wanted in columns.items():
        found = np.stack(frame[name].to_numpy())
        np.testing.assert_array_equal(found, wanted.reshape(found.shape))
    for label in ("sentence", "position", "token_id", "text", "year", "score", "origin"):
        np.testing.assert_array_equal(frame[label].to_numpy(), dataset[label].values)
    said = pq.read_schema(tmp_path / "out" / "part-00000.parquet").metadata[b"actlas"]
    assert json.loads(said)["run"] == stored.id


def test_huggingface(stored, tmp_path):
    datasets = needs("datasets")
    copy(stored, tmp_path / "out", "hf", WHOLE)
    found = datasets.load_from_disk(str(tmp_path / "out"))
    rows = found.with_format("numpy")[:]
    dataset, columns = columns_of(stored)
    for name, wanted in columns.items():
        np.testing.assert_array_equal(rows[name], wanted.reshape(rows[name].shape))
    for label in ("sentence", "position", "token_id", "text", "year", "score", "origin"):
        np.testing.assert_array_equal(found[:][label], dataset[label].values)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_saelens(stored, tmp_path, size):
    datasets = needs("datasets")
    hook = "blocks.1.attn.hook_q"
    chosen = Selection(sites=("q",), layers=(1,))
    made = copy(stored, tmp_path / "out", "saelens", chosen, contexts=Contexts(size, hook))
    found = datasets.load_from_disk(str(tmp_path / "out"))
    q = stored.dataset("q")["q"].isel(layer=1)
    assert found.column_names == [hook, "token_ids"]
    assert found.features[hook].shape == (size, 10)  # heads one after the other
    rows = found.with_format("numpy")[:]
    wanted, ids = [], []
    for _, sentence in q.groupby("sentence"):
        for first in range(0, sentence.sizes["token"] - size + 1, size):
            part = sentence.isel(token=slice(first, first + size))
            wanted.append(part.values.reshape(size, -1))
            ids.append(part["token_id"].values)
    np.testing.assert_array_equal(rows[hook], wanted)
    np.testing.assert_array_equal(rows["token_ids"], ids)
    assert made.left_out == stored.tokens - size * len(ids)


def test_saelens_takes_what_leaves_a_layer(stored, tmp_path):
    datasets = needs("datasets")
    chosen = Selection(sites=("resid",), layers=(1,))
    contexts = Contexts(2, "blocks.1.hook_resid_post", "resid.2")
    copy(stored, tmp_path / "out", "saelens", chosen, contexts=contexts)
    rows = datasets.load_from_disk(str(tmp_path / "out")).with_format("numpy")[:]
    resid = stored.dataset("resid")["resid"].isel(depth=2)
    np.testing.assert_array_equal(rows[contexts.hook][0], resid[:2])


def test_contexts_do_not_cross_what_was_left_out():
    labels = {
        "sentence": np.array([0, 0, 0, 0, 0, 1, 1, 1]),
        "position": np.array([0, 1, 3, 4, 5, 0, 1, 2]),
    }
    assert context_starts(labels, 2).tolist() == [0, 2, 5]
    assert context_starts(labels, 3).tolist() == [2, 5]
    assert context_starts(labels, 4).tolist() == []


def test_zarr(stored, tmp_path):
    needs("zarr")
    copy(stored, tmp_path / "out", "zarr", WHOLE)
    found = xr.open_zarr(tmp_path / "out").load()
    dataset = stored.dataset().load()
    for name, wanted in dataset.variables.items():
        np.testing.assert_array_equal(found[name].values, wanted.values)
        assert found[name].dims == wanted.dims
    assert json.loads(found.attrs["actlas"])["run"] == stored.id


@pytest.mark.parametrize("kind", ["safetensors", "hf", "parquet", "zarr"])
def test_part_of_a_run(stored, tmp_path, kind):
    needs({"hf": "datasets", "parquet": "pyarrow"}.get(kind, kind))
    tokens = np.array([1, 3, 4, 9, 12])
    chosen = Selection(("q", "nll"), (0, 2), tokens, "float16")
    made = copy(stored, tmp_path / "out", kind, chosen)
    assert {column.name for column in made.content.columns} == {"q.0", "q.2", "nll"}
    assert made.content.tokens == 5
    if kind == "zarr":
        wanted = stored.dataset("q")["q"].isel(layer=[0, 2], token=tokens)
        np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out")["q"], wanted)


def test_a_folder_that_is_there_is_left_as_it_is(stored, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("thesis")
    with pytest.raises(StoreError, match="is there already: remove it"):
        copy(stored, tmp_path / "out", "safetensors", WHOLE)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]
    with pytest.raises(UsageError, match="is not a directory"):
        copy(stored, tmp_path / "none" / "out", "safetensors", WHOLE)


def test_an_altered_block_leaves_nothing(copied, tmp_path):
    from tests.store.making import flip

    record = copied.records[0]
    flip(copied.path(record), record.sites["q"].place(1))
    for kind in ("safetensors", "parquet", "hf", "zarr"):
        needs({"hf": "datasets", "parquet": "pyarrow"}.get(kind, kind))
        with pytest.raises(StoreError, match="altered"):
            copy(copied, tmp_path / "out", kind, replace(WHOLE, sites=("q",)))
        assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_an_interrupt_leaves_nothing(stored, tmp_path):
    def interrupt(nbytes, total):
        raise KeyboardInterrupt

    for kind in ("safetensors", "parquet", "hf", "zarr"):
        needs({"hf": "datasets", "parquet": "pyarrow"}.get(kind, kind))
        with pytest.raises(KeyboardInterrupt):
            copy(stored, tmp_path / "out", kind, WHOLE, interrupt)
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from actlas.store import Store
from actlas.store.errors import StoreError
from actlas.store.exporting.formats import copy
from actlas.store.writing.selection import Selection
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = Store(sys.argv[1]).run("her")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
for kind in sys.argv[4:]:
    try:
        copy(run, Path(sys.argv[2]), kind, Selection())
    except StoreError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing(stored, tmp_path, pytestconfig):
    command = [sys.executable, "-c", FULL, stored.folder.parents[1], tmp_path / "out", "400"]
    kinds = ["safetensors"]
    for kind, library in (("parquet", "pyarrow"), ("hf", "datasets"), ("zarr", "zarr")):
        try:
            __import__(library)
        except ImportError:
            continue
        kinds.append(kind)
    done = subprocess.run(
        [*map(str, command), *kinds], cwd=pytestconfig.rootpath, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(kinds)
    assert all(line.startswith("cannot write") for line in done.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []
