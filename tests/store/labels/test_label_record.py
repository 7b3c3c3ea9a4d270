"""Label records altered, cut, lost, swapped or made to harm.

An error, never older labels instead.
"""

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import seal
from actlas.store.labels.columns import column_spans
from actlas.store.labels.record import sealed_behind
from actlas.store.labels.relabel import relabel
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from tests.store.making import Content, flip, make_run

SMALL = Content(units=((1, 2), (1,)), dtypes={"nll": "float32"})
KINDS = np.array(["a", "é", "c"], dtype=object)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of two versions of labels."""
    run = make_run(tmp_path_factory.mktemp("labels") / "store", SMALL, "it")
    relabel(run, {"kind": KINDS, "n": np.arange(3)}, "second")
    return run


@pytest.fixture
def run(made, tmp_path):
    """A copy of it to do harm to."""
    store = Path(shutil.copytree(made.folder.parents[1], tmp_path / "store"))
    return Run(store / "runs" / made.id, made.names)


def files(run, number=2):
    """Return record and values of a version."""
    return [next((run.folder / "labels").glob(f"{number:08d}-*.{kind}")) for kind in ("json", "h5")]


def problems(run):
    return [problem for item in verify(Run(run.folder)) for problem in item.problems]


def refused(run, match="."):
    """Assert that no label is read, that an error says so in a line, and that verify finds it."""
    for check in (True, False):
        with pytest.raises(DamagedStore, match=match) as found:
            Run(run.folder).dataset(check=check)
        assert len(str(found.value).splitlines()) == 1
        assert len(str(found.value)) < 600
    assert problems(run)


def forge(run, change, *, behind=True):
    """Let ``change`` alter the newest record and its copy, under checksums that hold."""
    path, values = files(run)
    record = json.loads(path.read_bytes())
    del record["checksum"]
    change(record)
    content, sealed = values.read_bytes(), seal(record)
    start = len(content) - 27 - len(sealed_behind(values))
    path.unlink()
    path.write_bytes(sealed)
    if behind:
        values.chmod(0o644)
        values.write_bytes(content[:start] + sealed + b"%012d actlas-labels\n" % len(sealed))


def test_two_sound_versions(run):
    assert problems(run) == []
    assert run.sentence_labels()["kind"].values.tolist() == KINDS.tolist()


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found_and_never_read(data, run):
    path = data.draw(st.sampled_from([*files(run), *files(run, 1)]))
    position, bit = data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
    flip(path, position, bit)
    try:
        if path.suffix == ".h5" or problems(run):  # a JSON file may be another spelling of the same
            assert [path.stem in problem for problem in problems(run)] == [True]
        try:
            found = Run(run.folder).sentence_labels()["kind"].values.tolist()
        except DamagedStore as error:
            assert path.stem in str(error)
        else:
            assert found == KINDS.tolist()
    finally:
        flip(path, position, bit)
    assert problems(run) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_anywhere_is_found_and_never_read(data, run):
    path = data.draw(st.sampled_from(files(run)))
    content = path.read_bytes()
    path.chmod(0o644)
    os.truncate(
        path, data.draw(st.integers(0, len(content) - 2))
    )  # without its line feed it is whole
    try:
        refused(run, path.stem)
    finally:
        path.write_bytes(content)


def test_a_deleted_newest_record_does_not_bring_the_older_labels_back(run):
    files(run)[0].unlink()
    again = Run(run.folder)
    assert again.labels_version == 2
    assert again.sentence_labels()["kind"].values.tolist() == KINDS.tolist()
    assert problems(run) == []  # nothing is lost: the record stands behind the values too
    assert repair(run, list(verify(run))).left == ()
    assert Run(run.folder).sentence_labels()["kind"].values.tolist() == KINDS.tolist()


def test_deleted_newest_values_are_refused_and_not_replaced_by_older_ones(run):
    files(run)[1].unlink()
    refused(run, "is missing: restore it from a copy, or `actlas relabel`")
    done = repair(run, list(verify(run)))
    assert "are lost" in done.left[0]
    refused(run)
    relabel(run, {"kind": KINDS}, "again")
    assert Run(run.folder).labels_version == 3
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []


def test_without_any_record_nothing_is_read(run):
    shutil.rmtree(run.folder / "labels")
    refused(run, "has no label record")
    relabel(run, {"kind": KINDS}, "again")
    assert problems(run) == []


def test_a_gap_in_the_versions_is_noticed(run):
    relabel(run, {"kind": KINDS[::-1]}, "third")
    for path in files(run):
        path.unlink()
    assert ["after version 1 comes 3" in problem for problem in problems(run)] == [True]
    done = repair(run, list(verify(run)))
    assert done.left == ()
    assert done.mended == ("dropped version 1 of the labels, which a later one replaces",)
    assert problems(run) == []


def test_an_older_version_that_is_damaged_costs_nothing(run):
    flip(files(run, 1)[1], 100)
    assert Run(run.folder).sentence_labels()["kind"].values.tolist() == KINDS.tolist()
    assert len(problems(run)) == 1
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []
    assert Run(run.folder).labels_version == 2


def test_a_byte_in_hdf5s_records_of_the_values_damages_no_label(run):
    flip(files(run)[1], 20)
    assert Run(run.folder).sentence_labels()["kind"].values.tolist() == KINDS.tolist()
    assert ["HDF5 records were altered" in problem for problem in problems(run)] == [True]
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []
    assert Run(run.folder).sentence_labels()["kind"].values.tolist() == KINDS.tolist()


def test_two_records_of_one_version_are_refused(run):
    record, values = files(run)
    for path in (record, values):
        shutil.copy(path, path.with_name(f"00000002-{'0' * 16}{path.suffix}"))
    refused(run, "two label records of version 2")
    relabel(run, {"kind": KINDS}, "again")
    assert Run(run.folder).labels_version == 3
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []


def test_labels_of_another_run_are_refused(run, tmp_path):
    other = make_run(tmp_path / "other", SMALL, seed=7)
    relabel(other, {"kind": KINDS[::-1]}, "other")
    for path in files(run):
        path.unlink()
    for path in files(other):
        shutil.copy(path, run.folder / "labels" / path.name)
    refused(run, "has the labels of run")


def test_a_renamed_version_is_refused(run):
    for path in files(run):
        path.rename(path.with_name(path.name.replace("00000002", "00000003")))
    refused(run, "was renamed")


def test_links_are_refused(run, tmp_path):
    record, _ = files(run)
    record.rename(tmp_path / "record")
    record.symlink_to(tmp_path / "record")
    refused(run, "is a link or no file")
    record.unlink()
    (tmp_path / "record").rename(record)
    folder = run.folder / "labels"
    folder.rename(tmp_path / "labels")
    folder.symlink_to(tmp_path / "labels")
    with pytest.raises(DamagedStore, match="is a link"):
        Run(run.folder)


def test_a_giant_is_refused_at_once(run):
    record, values = files(run)
    for path in (record, values):
        path.chmod(0o644)
        os.truncate(path, 1 << 40)
        refused(run, path.name)
        path.unlink()


def at(*keys, value):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


FORGED = [
    at("run", value="0" * 16),
    at("number", value=3),
    at("number", value=True),
    at("digest", value="../../../x"),
    at("digest", value="0" * 16),
    at("previous", value=5),
    at("sentences", value=4),
    at("sentences", value=1 << 70),
    at("size", value=10),
    at("size", value=1 << 50),
    at("metadata_checksum", value=None),
    at("source", value=[]),
    at("columns", value=[]),
    at("columns", "kind", value={}),
    at("columns", "nll", value={"dim": "sentence"}),
    at("columns", "n", "dtype", value="|O"),
    at("columns", "n", "dtype", value="text"),
    at("columns", "n", "dim", value="token"),
    at("columns", "n", "offset", value=-8),
    at("columns", "n", "offset", value=1 << 40),
    at("columns", "n", "nbytes", value=10**12),
    at("columns", "kind", "nbytes", value=1 << 61),
    at("columns", "kind", "nbytes", value=3),
    at("columns", "kind", "lengths", value=0),
    at("columns", "kind", "variable", value="../x"),
    at("columns", "kind", "checksum", value="0" * 16),
    at("surprise", value=1),
]


@pytest.mark.parametrize("change", FORGED)
def test_a_forged_record_is_refused_in_one_line(change, run):
    forge(run, change)
    refused(run)


def test_a_column_with_the_name_of_a_label_or_a_site_is_refused(run):
    def renamed(name):
        def change(record):
            record["columns"][name] = record["columns"].pop("n")

        return change

    for name in ("sentence", "depth", "a\x1b[2Jb", "x" * 300):
        forge(run, renamed(name))
        refused(run)
        forge(
            run, lambda record, name=name: record["columns"].update(n=record["columns"].pop(name))
        )
    forge(run, renamed("nll"))
    refused(run, "with the name of a site, 'nll'")


def test_a_record_that_is_not_the_one_behind_the_values_is_found(run):
    forge(run, at("source", value="somewhere else"), behind=False)
    assert ["is not the record behind" in problem for problem in problems(run)] == [True]
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []


def test_hdf5_that_leads_elsewhere_is_told_of_and_never_followed(run):
    record, values = run.label_record, files(run)[1]
    content = values.read_bytes()
    values.chmod(0o644)
    values.write_bytes(content[: record.size])
    with h5py.File(values, "r+", libver=("v108", "v114")) as file:
        file["stolen"] = h5py.ExternalLink("/etc/passwd", "/n")
    size = values.stat().st_size
    with values.open("rb") as file:
        rest = metadata_checksum_of(file.fileno(), size, column_spans(record.columns, 3))
    values.write_bytes(values.read_bytes() + content[record.size :])
    forge(run, lambda record: record.update(size=size, metadata_checksum=rest))
    assert Run(run.folder).sentence_labels()["n"].values.tolist() == [0, 1, 2]
    assert ["'stolen' is a link" in problem for problem in problems(run)] == [True]
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []


def test_what_may_not_be_read_is_left_alone(run, actlas_without_root):
    for path in files(run):
        path.chmod(0o000)
    store = run.folder.parents[1]
    for command in (
        ("verify",),
        ("verify", "--repair"),
        ("export", "it", run.folder.parents[2] / "out.h5"),
    ):
        done = actlas_without_root(*command, "--store", store)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
        assert "Traceback" not in done.stderr
    for path in files(run):
        path.chmod(0o444)
    assert problems(run) == []
