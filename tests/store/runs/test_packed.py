import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run
from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.pools import Origin
from actlas.store.format.schema import seal
from actlas.store.io.workspace import collect_garbage, workspace
from actlas.store.maintenance.repair import repair
from actlas.store.maintenance.verify import verify
from actlas.store.runs.commits import (
    is_packed,
    packed_paths,
    publish,
    publish_packed,
    read_commit,
    read_commits,
)
from actlas.store.runs.packed import packing_lock
from actlas.store.writing.pack import pack
from tests.store.making import Content, fill, flip, make_run, open_shard, parts, write_unit
from tests.store.test_golden import READER


@pytest.fixture
def packed(copied):
    pack(copied)
    return copied


def alter(path, change):
    """Give a record other content under a checksum that holds, as a hand that means harm would."""
    record = json.loads(path.read_bytes())
    record.pop("checksum")
    change(record)
    path.chmod(0o644)
    path.write_bytes(seal(record))


def test_one_record_stands_for_all_commits_and_says_what_they_said(copied):
    before = copied.commits
    pack(copied)
    (record,) = read_commits(copied.folder)
    assert len(record.units) == len(before)
    assert list((copied.folder / "commits").iterdir()) == []
    for old, new in zip(before, copied.commits, strict=True):
        assert (new.run, new.unit, new.provenance, new.edits, new.holds) == (
            old.run,
            old.unit,
            old.provenance,
            old.edits,
            old.holds,
        )
        for site, stored in old.sites.items():
            assert new.sites[site].checksums == stored.checksums
            assert new.sites[site].layout == stored.layout
    assert CommitRecord.from_json(record.to_json(), record.name) == record


def test_the_first_commit_wins_also_where_it_was_packed_away(packed, content):
    sites = tuple(content.dtypes)
    assert is_packed(packed.folder, (1, frozenset(parts(content, sites))))
    assert not write_unit(packed, content, 1, sites)
    assert list((packed.folder / "commits").iterdir()) == []
    assert len(list((packed.folder / "shards").iterdir())) == 1


def test_a_commit_that_a_record_stands_for_is_not_seen_and_is_removed(packed, content, monkeypatch):
    """As where a writer published while the packer removed the commit it was to collide with."""
    monkeypatch.setattr("actlas.store.runs.commits.is_packed", lambda *_: False)
    other = Content(seed=5)
    sites = tuple(content.dtypes)
    with workspace(packed.folder) as work:
        path = work.folder / f"00000001-{work.token}.h5"
        writer = open_shard(path, other, other.plan[1], sites)
        record = fill(writer, other, other.plan[1], sites)
        commit = record.commit(packed.id, other.plan[1], path.name, Origin({}))
        assert publish(packed.folder, writer, commit)
    again = Run(packed.folder)
    np.testing.assert_array_equal(again.dataset(["resid"])["resid"], content.values["resid"])
    assert not any(item.problems for item in verify(again))
    assert len(collect_garbage(packed.folder)) == 2
    assert list((packed.folder / "commits").iterdir()) == []
    assert len(list((packed.folder / "shards").iterdir())) == 1


def test_the_example_reader_reads_it(packed, content):
    read_site = runpy.run_path(str(READER))["read_site"]
    for site, wanted in content.values.items():
        values, texts = read_site(packed.folder.parents[1], packed.id, site)
        np.testing.assert_array_equal(values, wanted)
        assert tuple(texts) == content.labels.text


def test_an_altered_record_is_named_and_repair_writes_it_again(packed, content):
    (path,) = packed_paths(packed.folder)
    flip(path, 200)
    with pytest.raises(DamagedStore, match=path.name):
        _ = Run(packed.folder).commits
    found = list(verify(packed))
    assert [path.name in problem for item in found for problem in item.problems] == [True]
    done = repair(packed, found)
    assert (done.dropped, done.left) == ((), ())
    assert done.restored == tuple(f"the record of unit {number}" for number in range(3))
    assert not any(item.problems for item in verify(packed))
    np.testing.assert_array_equal(packed.dataset(["q"])["q"], content.values["q"])


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(file="../../../etc/passwd"),
        lambda record: record.update(size=-1),
        lambda record: record.update(units=[]),
        lambda record: record["units"][1].__setitem__(3, 10**15),
        lambda record: record["units"].append([3, 6, 1, 1]),
        lambda record: record.update(dropped=[7]),
        lambda record: record["checksums"].update(q="0"),
        lambda record: record["checksums"].pop("q"),
        lambda record: record["sites"]["q"].update(offset=-4096),
        lambda record: record["sites"]["q"].update(offset=10**9),
        lambda record: record["sites"]["q"]["layout"].update(shape=[10**9, 16, 2, 5]),
        lambda record: record["sites"]["q"]["layout"].update(dtype="object"),
        lambda record: record["sites"]["q"]["layout"].update(numbers=[2, 1, 3]),
        lambda record: record["labels"].pop("text"),
        lambda record: record["labels"]["text"].update(offset=10**9),
        lambda record: record["members"]["shared"].__setitem__(0, 9),
        lambda record: record["members"].update(edits=[0]),
        lambda record: record["members"].pop("edits"),
        lambda record: record["pools"].update(shared=[{"q": {"run": "x", "checksums": ["y"]}}]),
        lambda record: record["pools"].update(edits=[{}]),
        lambda record: record["pools"].pop("provenance"),
        lambda record: record.update(surprise=1),
    ],
)
def test_a_record_that_cannot_be_is_refused(packed, change):
    (path,) = packed_paths(packed.folder)
    alter(path, change)
    with pytest.raises(DamagedStore, match=path.name):
        Run(packed.folder).dataset()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_field_of_any_other_kind_is_refused_or_harmless(packed, content, data):
    (path,) = packed_paths(packed.folder)
    before = path.read_bytes()

    def change(record):
        while True:
            keys = sorted(record) if isinstance(record, dict) else range(len(record))
            key = data.draw(st.sampled_from(list(keys)))
            inner = record[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            record = inner
        record[key] = data.draw(
            st.sampled_from([None, -1, 0, 1, 1 << 70, 1.5, "", "x", [], {}, True, [[]]])
        )

    try:
        alter(path, change)
        try:
            read = Run(packed.folder).dataset(["q"])["q"].values
        except DamagedStore:
            pass
        else:
            assert read.shape[1] == content.labels.tokens
            np.testing.assert_array_equal(read, content.values["q"])
    finally:
        path.chmod(0o644)
        path.write_bytes(before)


def test_of_two_records_of_a_unit_the_later_counts_and_packing_settles_it(packed):
    """As a packing leaves them that is killed before it has rewritten the older record."""
    (path,) = packed_paths(packed.folder)
    with workspace(packed.folder) as work, packing_lock(packed.folder):
        publish_packed(
            packed.folder, replace(read_commit(path), dropped=frozenset({0, 2})), work.folder
        )
    again = Run(packed.folder)
    assert [commit.unit.number for commit in again.commits] == [0, 1, 2]
    assert not any(item.problems for item in verify(again))
    before = again.dataset().load()
    pack(again)
    assert again.dataset().load().identical(before)
    records = [read_commit(path) for path in packed_paths(packed.folder)]
    numbers = [record.units[index].number for record in records for index in record.present]
    assert sorted(numbers) == [0, 1, 2]


def test_a_folder_of_records_that_is_a_link_is_refused(packed, tmp_path):
    (packed.folder / "packed").rename(tmp_path / "elsewhere")
    (packed.folder / "packed").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedStore, match="is a link"):
        Run(packed.folder)


def test_a_run_of_many_units_is_packed_into_records_of_bounded_size(tmp_path, monkeypatch):
    content = Content(units=tuple((2,) for _ in range(20)), dtypes={"q": "float32"})
    run = make_run(tmp_path / "store", content)
    monkeypatch.setattr("actlas.store.writing.pack.LARGEST_PACKED", 10_000)
    pack(run)
    paths = packed_paths(run.folder)
    assert len(paths) > 2
    assert all(path.stat().st_size <= 10_000 for path in paths)
    np.testing.assert_array_equal(run.dataset(["q"])["q"], content.values["q"])
