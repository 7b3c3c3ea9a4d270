"""Label records altered, cut, lost, swapped or made to harm.

An error, never older labels instead.
"""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run
from actlas.store.labels.relabel import relabel
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from tests.store.labels.label_files import KINDS, SMALL, files, problems, refused
from tests.store.making import flip, make_run


def test_two_valid_versions(run):
    assert problems(run) == []
    assert run.sentence_labels()["kind"].values.tolist() == KINDS.tolist()


@pytest.mark.slow
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
    # without its line feed it is whole
    os.truncate(path, data.draw(st.integers(0, len(content) - 2)))
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
    assert done.rewritten == ("dropped version 1 of the labels, which a later one replaces",)
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


@pytest.mark.slow
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
