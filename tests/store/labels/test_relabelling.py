"""Label columns: what is accepted is read back from runs and exports.

A relabelling is a version.
"""

import os
import tracemalloc
from dataclasses import replace

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run, Store
from actlas.store.errors import InputError
from actlas.store.labels.columns import MOST_COLUMNS, bad_name, columns_digest, encode
from actlas.store.labels.labels import TOKEN_LABELS
from actlas.store.labels.relabel import label_change, relabel
from actlas.store.maintenance.verify import verify
from actlas.store.maintenance.verify_export import verify_export
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from tests.store.killing import killed_stores
from tests.store.making import Content, begin_run, make_run, make_variant, write_unit

SMALL = Content(units=((1, 2), (1,)), dtypes={"nll": "float32"})
SENTENCES = 3
ODD = (
    "_nc4_non_coord_layer",
    "a/b",
    ".",
    "text_bytes",
    "kind_bytes",
    "kind_length",
    "column_0",
    "日本",
    "é",
    "e\u0301",
    "🙂 x",
    "kind",
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
names = (st.sampled_from(ODD) | st.text(min_size=1, max_size=12)).filter(
    lambda name: bad_name(name) is None and name != "nll"
)
int64 = st.integers(-(2**63), 2**63 - 1)
KINDS = ((texts, object), (int64, np.int64), (st.floats(), np.float64), (st.booleans(), np.uint8))


def values(count):
    """Return columns of so many entries, of every dtype."""
    return st.one_of(
        st.lists(each, min_size=count, max_size=count).map(
            lambda found, dtype=dtype: np.array(found, dtype=dtype)
        )
        for each, dtype in KINDS
    )


def own_labels():
    """Return columns of sentences and of tokens, under different names."""
    of_each = st.dictionaries(names, values(SENTENCES), max_size=5)
    of_token = st.dictionaries(names, values(SMALL.labels.tokens), max_size=3)
    return st.tuples(of_each, of_token).filter(lambda both: not both[0].keys() & both[1].keys())


def problems(checked) -> list[str]:
    return [problem for item in checked for problem in item.problems]


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, column in wanted.items():
        np.testing.assert_array_equal(found[name], column)
        assert found[name].dtype.kind == column.dtype.kind or column.dtype.kind == "U"


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(both=own_labels())
def test_what_is_accepted_is_read_back_verified_packed_and_exported(both, tmp_path_factory):
    columns, of_tokens = both
    folder = tmp_path_factory.mktemp("any")
    run = make_run(folder / "store", SMALL)
    relabel(run, columns, "any", of_tokens)
    same(run.labels.columns, columns)
    same(run.labels.token_columns, of_tokens)
    assert problems(verify(run)) == []
    pack(run)
    same(Run(run.folder).labels.columns, columns)
    same(Run(run.folder).labels.token_columns, of_tokens)
    exported, _ = export(run, folder / "out.h5")
    same(exported.labels.columns, columns)
    same(exported.labels.token_columns, of_tokens)
    assert problems(verify_export(exported)) == []
    for name, column in of_tokens.items():
        np.testing.assert_array_equal(exported.dataset()[name].values, column)
    for name, column in columns.items():
        np.testing.assert_array_equal(exported.sentence_labels()[name].values, column)
    with xr.open_dataset(
        next((run.folder / "labels").glob("*2-*.h5"), folder / "out.h5"), engine="h5netcdf"
    ) as plain:
        assert {*columns, *of_tokens} <= {
            each.attrs.get("long_name") for each in plain.variables.values()
        }


@pytest.mark.slow
def test_as_many_columns_as_are_accepted_are_verified_and_exported(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    columns = {f"column {number}": np.arange(3) * number for number in range(MOST_COLUMNS - 50)}
    columns |= {f"text {number}": np.array(["a", "", f"{number}"]) for number in range(50)}
    relabel(run, columns, "many")
    assert problems(verify(run)) == []
    exported, _ = export(run, tmp_path / "out.h5")
    same(exported.labels.columns, columns)
    assert problems(verify_export(exported)) == []
    with pytest.raises(InputError, match="2,001 label columns: expected at most 2,000"):
        relabel(run, {**columns, "one more": np.arange(3)}, "many")


@pytest.mark.parametrize(
    "name", ["", "text", "sentence", "layer", "token", "a\nb", "\x1b[2J", "x" * 201]
)
def test_a_name_that_cannot_be_stored_is_refused_and_nothing_is_written(name, tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    before = sorted((run.folder / "labels").iterdir())
    with pytest.raises(InputError, match=r"label column '.*rename it"):
        relabel(run, {name: np.arange(3)}, "bad")
    assert sorted((run.folder / "labels").iterdir()) == before


def test_one_long_label_takes_its_own_room_and_no_more(tmp_path):
    """As characters of a fixed number it took that of every sentence: 300 MB here."""
    content = Content(units=(tuple([1] * 300),), dtypes={"nll": "float32"})
    run = make_run(tmp_path / "store", content)
    column = np.array(["x"] * 300, dtype=object)
    column[7] = "é" * (1 << 19)
    tracemalloc.start()
    relabel(run, {"note": column}, "long")
    again = Run(run.folder).labels.columns["note"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again.tolist() == column.tolist()
    assert peak < 30e6
    assert sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) < 2e6


def test_versions_follow_one_another_and_nothing_is_edited(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    first, shards = run.label_record, {path: path.read_bytes() for path in run.folder.rglob("*.*")}
    assert (run.labels_version, run.labels_digest) == (1, first.digest)
    change = relabel(
        run,
        {**SMALL.labels.columns, "year": np.array([1, 2, 3]), "new": np.array(["a", "b", "c"])},
        "second",
    )
    assert (change.version, change.added, change.removed, change.changed) == (
        2,
        ("new",),
        (),
        {"year": 3},
    )
    assert change.summary == "new added; 3 values of year changed"
    assert (run.labels_version, run.label_record.previous) == (2, first.digest)
    assert run.sentence_labels()["year"].values.tolist() == [1, 2, 3]
    assert relabel(run, dict(reversed(run.columns.items())), "the same") is None
    change = relabel(run, SMALL.labels.columns, "back")
    assert (change.version, change.digest, change.removed) == (3, first.digest, ("new",))
    assert {path: path.read_bytes() for path in shards} == shards
    assert problems(verify(run)) == []
    kept = [path for path in sorted((run.folder / "labels").iterdir()) if path.name != "lock"]
    assert [path.suffix for path in kept] == [".h5", ".json"] * 3


def test_values_that_look_alike_are_reported_apart(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    relabel(run, {"n": np.array([1, 2, 3])}, "integers")
    change = relabel(run, {"n": np.array([1.0, 2.0, np.nan])}, "floats")
    assert change.changed == {"n": 1}
    assert relabel(run, {"n": np.array([1.0, 2.0, np.nan])}, "floats") is None
    assert relabel(run, {"n": np.array(["1.0", "2.0", "nan"])}, "text").changed == {"n": 3}
    assert columns_digest(encode({"a": np.array(["x"])})) == columns_digest(
        encode({"a": np.array(["x"], dtype=object)})
    )


def test_a_run_without_any_unit_can_be_relabelled_and_keeps_that(tmp_path):
    run = begin_run(tmp_path / "store", SMALL)
    relabel(run, {"kind": np.array(["a", "b", "c"])}, "early")
    for unit in SMALL.plan:
        assert write_unit(run, SMALL, unit.number, ("nll",))
    assert Run(run.folder).sentence_labels()["kind"].values.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_baseline_and_its_variants_have_one_family_of_labels(which, tmp_path):
    content = Content(dtypes={"q": "float32"})
    baseline = make_run(tmp_path / "store", content, edits=[])
    variant = make_variant(tmp_path / "store", baseline, replace(content, seed=1))
    assert variant.labels.columns.keys() == content.labels.columns.keys()
    relabel((baseline, variant)[which], {"kind": np.arange(6)}, "both")
    for run in (Run(baseline.folder), Run(variant.folder)):
        assert run.labels_version == 2
        assert run.sentence_labels()["kind"].values.tolist() == list(range(6))
        assert problems(verify(run)) == []


def test_shards_hold_no_columns(stored, content):
    for commit in stored.commits:
        assert commit.labels.keys() == {*TOKEN_LABELS, "row_size", "text"}
        with h5py.File(stored.path(commit)) as file:
            assert not content.labels.columns.keys() & set(file)


def test_the_values_are_an_ordinary_netcdf_file(stored, content):
    (path,) = (stored.folder / "labels").glob("*.h5")
    with netCDF4.Dataset(path) as file:
        for name in ("year", "score"):
            np.testing.assert_array_equal(file[f"sentence_{name}"][:], content.labels.columns[name])
        assert file["sentence_origin_length"].sample_dimension == "sentence_origin_bytes"
        characters = file["sentence_origin"][:].tobytes().decode()
        assert file["sentence_origin_length"][:].sum() == len(characters.encode())
        assert characters == "".join(content.labels.columns["origin"].tolist())


def test_an_export_keeps_the_labels_it_was_made_with(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    exported, _ = export(run, tmp_path / "out.h5")
    digest = run.labels_digest
    relabel(run, {"kind": np.arange(3)}, "later")
    assert (exported.labels_version, exported.labels_digest) == (1, digest)
    assert exported.labels.columns.keys() == SMALL.labels.columns.keys()
    second, _ = export(run, tmp_path / "second.h5")
    assert (second.labels_version, second.labels_digest) == (2, run.labels_digest)
    assert list(second.labels.columns) == ["kind"]


def test_a_relabelling_killed_anywhere_leaves_the_old_labels_or_the_new(tmp_path):
    run = make_run(tmp_path / "store", SMALL, "it")
    old, seen = run.labels_digest, set()
    imports = "import numpy as np\nfrom actlas.store.labels.relabel import relabel"
    action = 'relabel(Store(store).run("it"), {"kind": np.arange(3)}, "x")'
    for path in killed_stores(tmp_path / "store", tmp_path / "killed", imports, action):
        killed = Store(path).run("it")
        seen.add(killed.labels_version)
        assert (killed.labels_digest == old) == (killed.labels_version == 1)
        assert killed.sentence_labels().sizes["sentence"] == 3
        assert (
            relabel(killed, {"kind": np.arange(3)}, "again") is None or killed.labels_version == 2
        )
        assert killed.sentence_labels()["kind"].values.tolist() == [0, 1, 2]
    assert seen == {1, 2}


@pytest.mark.slow
def test_a_run_killed_while_it_is_made_has_labels_or_is_none(tmp_path):
    Store.create(tmp_path / "store")
    imports = "import numpy as np\nfrom tests.store.making import Content\n"
    imports += 'content = Content(units=((1, 2), (1,)), dtypes={"nll": "float32"})'
    action = 'Store(store).add({"seed": 0}, {}, content.plan, content.labels.columns)'
    for path in killed_stores(tmp_path / "store", tmp_path / "killed", imports, action):
        for run in Store(path).runs():
            assert run.columns.keys() == SMALL.labels.columns.keys()


def test_a_full_disk_leaves_the_old_labels(tmp_path, monkeypatch):
    run = make_run(tmp_path / "store", SMALL)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as found:
        relabel(run, {"kind": np.arange(3)}, "x")
    assert found.value.filename
    monkeypatch.undo()
    assert Run(run.folder).labels_version == 1
    assert problems(verify(run)) == []


def test_lost_labels_are_replaced_by_the_next_version(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    for path in (run.folder / "labels").glob("*.h5"):
        path.unlink()
    with pytest.raises(DamagedStore, match="is missing"):
        Run(run.folder).dataset()
    change = label_change(run, SMALL.labels.columns)
    assert "could not be read" in change.summary
    assert relabel(run, SMALL.labels.columns, "again").version == 2
    assert Run(run.folder).sentence_labels()["year"].size == 3
