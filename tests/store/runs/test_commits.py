import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run
from actlas.store.format.commit_record import FIELDS
from actlas.store.format.parts import SitePart
from actlas.store.format.pools import Origin
from actlas.store.format.schema import seal, stem
from actlas.store.io.workspace import workspace
from actlas.store.runs.commits import publish, read_commit, read_commits, with_tail
from tests.store.making import begin_run, fill, open_shard, write_unit

SITES = ("q", "nll")


@given(sites=st.sets(st.text(), min_size=1), unit=st.integers(0, 10**8 - 2))
def test_equal_work_has_equal_names(sites, unit):
    parts = [SitePart(site, (0, 2)) for site in sites]
    assert stem(unit, parts) == stem(unit, parts[::-1])
    assert stem(unit, parts) != stem(unit, [*parts, SitePart("another site", (0,))])
    assert stem(unit, parts) != stem(unit, [*parts[1:], SitePart(parts[0].site, (0,))])
    assert stem(unit, parts) < stem(unit + 1, parts)


def finished(run, work, content):
    """Return a finished shard in ``work`` and its commit."""
    unit = content.plan[0]
    path = work.folder / f"00000000-{work.token}.h5"
    writer = open_shard(path, content, unit, SITES)
    record = fill(writer, content, unit, SITES)
    return writer, record.commit(run.id, unit, path.name, Origin({}))


def test_the_first_commit_wins_and_the_second_leaves_nothing(tmp_path, content):
    run = begin_run(tmp_path / "store", content)
    with workspace(run.folder) as one, workspace(run.folder) as two:
        first, second = finished(run, one, content), finished(run, two, content)
        assert publish(run.folder, *second)
        assert not publish(run.folder, *first)
        assert not first[0].path.exists()
        assert not second[0].path.exists()
    assert [path.name for path in (run.folder / "shards").iterdir()] == [second[1].file]
    assert read_commits(run.folder) == [with_tail(second[1])[0]]


def test_committed_files_are_read_only(stored):
    files = [
        path for folder in ("commits", "shards") for path in (stored.folder / folder).iterdir()
    ]
    assert {path.stat().st_mode & 0o777 for path in [*files, stored.folder / "run.json"]} == {0o444}


def test_an_equal_shard_name_of_another_hand_is_not_overwritten(tmp_path, content):
    run = begin_run(tmp_path / "store", content)
    with workspace(run.folder) as work:
        writer, commit = finished(run, work, content)
        foreign = run.folder / "shards" / writer.path.name
        foreign.write_text("foreign")
        with pytest.raises(DamagedStore, match=writer.path.name):
            publish(run.folder, writer, commit)
    assert foreign.read_text() == "foreign"


@settings(max_examples=30)
@given(data=st.data())
def test_an_altered_commit_is_an_error_that_names_it(data, stored, tmp_path_factory):
    path = sorted((stored.folder / "commits").iterdir())[data.draw(st.integers(0, 2))]
    harmed = tmp_path_factory.mktemp("commit") / path.name
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 2))
    digit = next(i for i in range(cut, -1, -1) if content[i : i + 1].isdigit() or i == 0)
    other = b"1" if content[digit : digit + 1] != b"1" else b"2"
    for wrong in (content[:cut], content[:digit] + other + content[digit + 1 :]):
        harmed.write_bytes(wrong)
        with pytest.raises(DamagedStore, match=path.name):
            read_commit(harmed)


@pytest.mark.parametrize(
    "file", ["../x", "../x.h5", "/etc/x.h5", "a/b.h5", "..", ".", "", "x.h5\n", 5, None]
)
def test_a_commit_cannot_name_a_file_outside_its_run(file, copied):
    path = sorted((copied.folder / "commits").iterdir())[0]
    record = {**read_commit(path).to_json(), "file": file}
    path.unlink()
    path.write_bytes(seal(record))
    with pytest.raises(DamagedStore, match=f"{path.name} names a file outside its run"):
        read_commit(path)


def test_a_commit_without_a_field_says_which(copied):
    path = sorted((copied.folder / "commits").iterdir())[0]
    record = read_commit(path).to_json()
    for field in FIELDS:
        path.unlink()
        path.write_bytes(seal({key: value for key, value in record.items() if key != field}))
        with pytest.raises(DamagedStore, match=f"{path.name} lacks a field .*{field}"):
            read_commit(path)


def test_a_commit_of_another_run_is_not_read_as_ones_own(copied, content, tmp_path):
    other = begin_run(tmp_path / "other", content, seed=5)
    write_unit(other, content, 0, ["attn_out"])
    for folder in ("commits", "shards"):
        shutil.copytree(other.folder / folder, copied.folder / folder, dirs_exist_ok=True)
    with pytest.raises(DamagedStore, match="is not of its plan"):
        copied.refresh() or copied.dataset()


@pytest.mark.parametrize("field", ["specification", "units", "description"])
def test_an_altered_run_is_an_error_that_names_it(field, copied):
    path = copied.folder / "run.json"
    record = json.loads(path.read_bytes())
    path.chmod(0o644)
    path.write_text(json.dumps({**record, field: {}}))
    with pytest.raises(DamagedStore, match=r"run\.json was altered"):
        Run(copied.folder)
    record.pop("checksum")
    # a run of its own, in the wrong place
    path.write_bytes(seal({**record, "specification": {"seed": 1}}))
    with pytest.raises(
        DamagedStore, match=rf"run\.json is of run [0-9a-f]{{16}}, not of {copied.id}"
    ):
        Run(copied.folder)
    path.unlink()
    with pytest.raises(DamagedStore, match=r"run\.json is missing"):
        Run(copied.folder)
