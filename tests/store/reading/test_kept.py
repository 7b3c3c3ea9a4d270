"""Records of runs that keep some tokens: what they say is held against the mask and the units."""

import json
from dataclasses import replace

import numpy as np
import pytest

from actlas.store import DamagedStore, Store
from actlas.store.format.parts import SitePart
from actlas.store.format.pools import Origin
from actlas.store.format.schema import canonical, checksum
from actlas.store.io.workspace import workspace
from actlas.store.labels.labels import KeptTokens
from actlas.store.runs.commits import publish
from actlas.store.writing.pack import pack
from actlas.store.writing.shard import ShardWriter
from tests.store.making import Content, begin_run, layouts, problems

MASK = np.array([0, 0, 1, 1, 0, 0, 0, 0], dtype=np.int32)  # of the last unit none
DIGEST = "0123456789abcdef"


@pytest.fixture
def content():
    return Content(units=((3, 1), (2,), (2,)), dtypes={"resid": "float32", "nll": "float32"})


@pytest.fixture
def run(tmp_path, content):
    run = begin_run(tmp_path / "store", content, "some")
    for unit in content.plan:
        labels = content.labels.sentences(unit.first, unit.sentences)
        mask = MASK[content.rows(unit)]
        labels = replace(labels, kept=KeptTokens(DIGEST, ("these",), mask))
        taken = [each.narrow(labels.rows) for each in layouts(content, unit, ["resid", "nll"])]
        with workspace(run.folder) as work:
            path = work.folder / f"{unit.number:08d}-{work.token}.h5"
            writer = ShardWriter(path, taken, labels, {})
            for layout in taken:
                values = content.values[layout.site]
                blocks = values if layout.dims[0] == "depth" else values[np.newaxis]
                for number in layout.numbers:
                    rows = np.ascontiguousarray(blocks[number][content.rows(unit)][mask > 0])
                    writer.write(layout.site, number, labels.rows, [rows])
            commit = writer.finish().commit(run.id, unit, path.name, Origin({}))
            assert publish(run.folder, writer, commit)
    run.refresh()
    return run


def test_rows_are_read_packed_or_not(run, content):
    for _ in range(2):
        dataset = run.dataset()
        np.testing.assert_array_equal(dataset["resid"], content.values["resid"][:, MASK > 0])
        np.testing.assert_array_equal(dataset["nll"], content.values["nll"][MASK > 0])
        assert dataset["year"].values.tolist() == [
            content.labels.columns["year"][0],
            content.labels.columns["year"][1],
        ]
        assert run.index.whole(["nll"]) == [SitePart("nll", (0,), DIGEST)]
        assert (run.missing(["nll"]), problems(run)) == ([], [])
        pack(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "x"},
        {"tokens": []},
        {"tokens": ["\x1b[31m"]},
        {"rows": [9]},
        {"rows": [1, 1]},
        {"rows": [-1]},
        {"rows": None},
        None,
    ],
)
def test_a_record_that_is_sealed_again_misleads_nobody(run, changes):
    path = next(
        each for each in (run.folder / "commits").iterdir() if each.name.startswith("00000000")
    )
    record = json.loads(path.read_bytes())
    del record["checksum"]
    if changes is None:
        del record["kept"]
    else:
        record["kept"] |= changes
    path.chmod(0o644)
    path.write_bytes(canonical({**record, "checksum": checksum(canonical(record))}) + b"\n")
    with pytest.raises(DamagedStore) as refused:
        Store(run.folder.parent.parent).run("some").dataset().load()
    assert len(str(refused.value).splitlines()) == 1
