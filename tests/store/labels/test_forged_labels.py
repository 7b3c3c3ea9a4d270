"""Label records forged to mislead, under checksums that hold, are refused in one line."""

import json

import h5py
import pytest

from actlas.store import Run
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import seal
from actlas.store.labels.record import sealed_behind
from actlas.store.labels.stored_columns import column_spans
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from tests.store.labels.label_files import at, files, problems, refused


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
    at("tokens", value=1),
    at("tokens", value=-1),
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


def test_hdf5_that_leads_elsewhere_is_reported_and_never_followed(run):
    record, values = run.label_record, files(run)[1]
    content = values.read_bytes()
    values.chmod(0o644)
    values.write_bytes(content[: record.size])
    with h5py.File(values, "r+", libver=("v108", "v114")) as file:
        file["stolen"] = h5py.ExternalLink("/etc/passwd", "/n")
    size = values.stat().st_size
    with values.open("rb") as file:
        rest = metadata_checksum_of(
            file.fileno(), size, column_spans(record.columns, record.counts)
        )
    values.write_bytes(values.read_bytes() + content[record.size :])
    forge(run, lambda record: record.update(size=size, metadata_checksum=rest))
    assert Run(run.folder).sentence_labels()["n"].values.tolist() == [0, 1, 2]
    assert ["'stolen' is a link" in problem for problem in problems(run)] == [True]
    assert repair(run, list(verify(run))).left == ()
    assert problems(run) == []
