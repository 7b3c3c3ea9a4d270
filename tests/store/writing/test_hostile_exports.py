"""Exports made to mislead are refused in one line."""

import json
import os

import h5py
import pytest
import xarray as xr

from actlas.store import DamagedStore, UsageError
from actlas.store.format.export_record import FORMAT_EXPORT
from actlas.store.format.schema import seal
from actlas.store.format.tail import tail_bytes
from actlas.store.runs.exported import Exported
from tests.store.writing.exports import problems


def replaced(path, change):
    """Write the record again, with a checksum that holds, after ``change``."""
    content = path.read_bytes()
    length = int(content[-27:-15])
    record = json.loads(content[-27 - length : -27])
    del record["checksum"]
    change(record)
    tail, fits = tail_bytes(seal(record), FORMAT_EXPORT), record.get("size") == len(content)
    while fits and record["size"] != len(content) - 27 - length + len(tail):
        record["size"] = len(content) - 27 - length + len(tail)
        tail = tail_bytes(seal(record), FORMAT_EXPORT)
    path.chmod(0o644)
    path.write_bytes(content[: -27 - length] + tail)


def at(*keys, value):
    def change(record):
        place = record
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


HOSTILE = [
    at("size", value=10),
    at("run", value="0" * 16),
    at("specification", value=[]),
    at("description", value=None),
    at("units", value=[]),
    at("units", 0, value=[0, 0, 3, 10**18]),
    at("units", 1, value=[1, 3, 1, 0]),
    at("units", 1, 0, value=True),
    at("sites", value={}),
    at("sites", "q", "offset", value=-5),
    at("sites", "q", "offset", value=10**15),
    at("sites", "q", "offset", value=2**63),
    at("sites", "q", "offset", value=4096.0),
    at("sites", "q", "layout", "shape", value=[3, 16, 2**40, 2**40]),
    at("sites", "q", "layout", "shape", value=[2**61, 16, 2, 5]),
    at("sites", "q", "layout", "shape", value=[3, 15, 2, 5]),
    at("sites", "q", "layout", "dims", value=["layer"]),
    at("sites", "q", "layout", "dims", value=["layer", "token", "token", "d_head"]),
    at("sites", "q", "layout", "dims", value=[]),
    at("sites", "q", "layout", "dtype", value="object"),
    at("sites", "q", "layout", "site", value="../q"),
    at("sites", "q", "layout", "extra", value=1),
    at("checksums", "q", value=""),
    at("checksums", "q", value=[]),
    at("sites", "text", value={}),
    at("labels", "text", "offset", value=10**15),
    at("labels", "text", "dtype", value="|O"),
    at("labels", "text", "shape", value=[6, 2**61]),
    at("label_checksums", "position", value="0" * 16),
    at("label_checksums", "position", value="x" * 48),
    at("labels_version", value="1"),
    at("labels_digest", value="../x"),
    at("columns", value=[]),
    at("columns", "resid", value={}),
    at("columns", "year", "dtype", value="<U9999999"),
    at("columns", "year", "nbytes", value=10**15),
    at("columns", "year", "offset", value=10**15),
    at("columns", "year", "variable", value="sentence_origin"),
    at("columns", "origin", "lengths", value=2**63),
    at("columns", "year", "dim", value="token"),
    at("labels", "position", "shape", value=[10**12]),
    at("labels", value={}),
    at("sites", "q", "layout", "numbers", value=[2, 1, 0]),
    at("sites", "q", "layout", "numbers", value=[0, 1, 10**30]),
    at("sites", "q", "layout", "numbers", value=[]),
    at("metadata_checksum", value=5),
    at("format", value="actlas-commit"),
    at("version", value=2),
]


@pytest.mark.parametrize("change", HOSTILE)
def test_a_record_that_lies_is_refused_with_one_line(change, exported):
    replaced(exported.file, change)
    with pytest.raises(DamagedStore, match=str(exported.file)) as found:
        Exported(exported.file)
    assert "\n" not in str(found.value)


def test_overlapping_variables_are_refused(exported):
    offset = exported.header["sites"]["attn_out"]["offset"]
    replaced(exported.file, at("sites", "q", "offset", value=offset))
    with pytest.raises(DamagedStore, match="overlap"):
        Exported(exported.file)


@pytest.mark.parametrize("record", [b"[" * 200_000, b"\xff" * 100, b"{}", b"null", b'{"a":' * 9000])
def test_a_record_of_another_kind_is_refused(record, exported):
    content = exported.file.read_bytes()
    exported.file.chmod(0o644)
    exported.file.write_bytes(
        content[: exported.header["hdf5"]] + tail_bytes(record, FORMAT_EXPORT)
    )
    with pytest.raises(DamagedStore):
        Exported(exported.file)


@pytest.mark.parametrize(
    "length", [b"999999999999", b"000000000000", b"-00000000001", b"000040000000"]
)
def test_the_length_of_the_record_is_not_believed(length, exported):
    content = exported.file.read_bytes()
    exported.file.chmod(0o644)
    exported.file.write_bytes(content[:-27] + length + content[-15:])
    with pytest.raises(DamagedStore):
        Exported(exported.file)


def test_a_folder_a_pipe_and_other_files_are_no_export(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "text.h5").write_text("thesis")
    for name, message in [
        ("pipe", "is not an HDF5 file"),
        ("text", "is not an HDF5 file"),
        ("none", "is not there"),
    ]:
        with pytest.raises(UsageError, match=message):
            Exported(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(DamagedStore, match="does not end as an export does"):
        Exported(tmp_path / "plain.h5")


def hostile_hdf5(path, kind):
    """Return an HDF5 part with something in it that leads a reader elsewhere."""
    with h5py.File(path, "w", libver="v108") as file:
        if kind == "external link":
            file["q"] = h5py.ExternalLink("/etc/passwd", "/q")
        elif kind == "soft link":
            file["q"] = h5py.SoftLink("/elsewhere")
        elif kind == "external storage":
            file.create_dataset("q", (4,), "u1", external=[("/etc/passwd", 0, 4)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "u1")
            layout[:] = h5py.VirtualSource("other.h5", "q", (4,))
            file.create_virtual_dataset("q", layout)
        else:
            file.create_group("q")
    return path.read_bytes()


@pytest.mark.parametrize(
    "kind", ["external link", "soft link", "external storage", "virtual", "group"]
)
def test_verify_reports_hdf5_that_leads_elsewhere_and_reading_never_goes_there(
    kind, exported, tmp_path, stored
):
    """Numbers are read by the record alone.

    So behind another HDF5 part the same numbers are read.
    """
    part = hostile_hdf5(tmp_path / "part.h5", kind)
    content = exported.file.read_bytes()
    size, shift = exported.header["hdf5"], -(-len(part) // 4096) * 4096

    def change(record):
        record["size"] += shift
        record["hdf5"] += shift
        for place in (
            *record["sites"].values(),
            *record["labels"].values(),
            *record["columns"].values(),
        ):
            place["offset"] += shift
            if place.get("lengths"):
                place["lengths"] += shift

    exported.file.chmod(0o644)
    exported.file.write_bytes(part.ljust(shift, b"\0") + content)
    with pytest.raises(
        DamagedStore, match=f"{size + shift} bytes before its record, expected {size}"
    ):
        Exported(exported.file)
    replaced(exported.file, change)
    hostile = Exported(exported.file)
    xr.testing.assert_identical(
        hostile.dataset(check=False).drop_attrs(), stored.dataset().drop_attrs()
    )
    xr.testing.assert_identical(hostile.dataset().drop_attrs(), stored.dataset().drop_attrs())
    assert any(
        ": 'q' is" in problem and "do not open it by other means" in problem
        for problem in problems(hostile)
    )
