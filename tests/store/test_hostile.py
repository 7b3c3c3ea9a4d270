"""Stores made to harm.

Every checksum is right, and still nothing is believed that could mislead, hang or fill the memory.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.store import DamagedStore, Run, Store
from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.schema import data_spans_of, seal
from actlas.store.io.safe_open import LARGEST_RECORD, listed, opened, read_record
from actlas.store.maintenance.verify import verify
from actlas.store.runs.commits import read_commit, with_tail
from tests.store.making import contents, make_run, shards

SECONDS, MEMORY = 5, 500 << 20


def commit_paths(run):
    return sorted((run.folder / "commits").iterdir())


def reseal(path, record):
    path.unlink()
    path.write_bytes(seal(record))


def problems(run) -> list[str]:
    return [problem for checked in verify(run) for problem in checked.problems]


def altered(run, change):
    """Let ``change`` alter the HDF5 file of a shard.

    Its commit agrees with every byte of it then.
    """
    path, (shard, *_) = commit_paths(run)[0], shards(run)
    shard.chmod(0o644)
    commit = read_commit(path)
    os.truncate(shard, commit.hdf5)
    with h5py.File(shard, "r+", libver=("v108", "v114")) as file:
        change(file)
    size = shard.stat().st_size
    commit = replace(commit, size=size, hdf5=0)
    with shard.open("rb") as file:
        rest = metadata_checksum_of(file.fileno(), size, data_spans_of(commit.sites, commit.labels))
    commit, tail = with_tail(replace(commit, metadata_checksum=rest))
    with shard.open("ab") as file:
        file.write(tail)
    reseal(path, commit.to_json())
    run.refresh()
    return shard


def external_link(file):
    file["secret"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["other"] = h5py.SoftLink("/q")


def link_in_place_of_a_label(file):
    del file["position"]
    file["position"] = h5py.ExternalLink("elsewhere.h5", "/position")


def external_storage(file):
    file.create_dataset("stolen", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("mirage", layout)


def shape_bomb(file):
    file.create_dataset("bomb", (1 << 50,), "f4", chunks=(1 << 10,))


def shape_bomb_of_a_dimension(file):
    del file["d_model"]
    file.create_dataset("d_model", (1 << 40,), "f4")


def chunked_site(file):
    file.create_dataset("further", (4, 4), "f4", chunks=(2, 2))


def nested(file):
    group = file
    for _ in range(500):
        group = group.create_group("g")


def loop(file):
    file["loop"] = file["/"]


def named_type(file):
    file["type"] = np.dtype("f4")


def invalid_utf8(file):
    h5py.h5d.create(file.id, b"\xff\xfe", h5py.h5t.NATIVE_INT8, h5py.h5s.create_simple((1,)))


def terminal_escape(file):
    file.create_dataset("\x1b[2J\n", data=np.zeros(3, "f4"))


def many_attributes(file):
    for number in range(200):
        file.attrs[f"a{number}"] = 0


def many_variables(file):
    for number in range(1100):
        file.create_dataset(f"v{number}", data=np.float32(0))


def labels_under_each_others_names(file):
    file.move("position", "aside")
    file.move("token_id", "position")
    file.move("aside", "token_id")


def missing_variable(file):
    del file["nll"]


CHANGES = (
    external_link,
    soft_link,
    link_in_place_of_a_label,
    external_storage,
    virtual,
    shape_bomb,
    shape_bomb_of_a_dimension,
    chunked_site,
    nested,
    loop,
    named_type,
    invalid_utf8,
    terminal_escape,
    many_attributes,
    many_variables,
    labels_under_each_others_names,
    missing_variable,
)


@settings(max_examples=15, deadline=None)
@given(content=contents())
def test_hdf5_and_commit_agree_on_every_sound_run(content, tmp_path_factory):
    assert problems(make_run(tmp_path_factory.mktemp("sound") / "store", content)) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_hdf5_part_that_leads_elsewhere_is_found_and_never_followed(change, copied, content):
    shard = altered(copied, change)
    found = problems(copied)
    assert found
    assert all(problem.startswith(f"{shard}: to HDF5, ") for problem in found)
    np.testing.assert_array_equal(
        copied.dataset(["q"], check=True)["q"].values, content.values["q"]
    )  # read without HDF5


def replaced(record, key, value):
    """Return ``record`` with another value at a path of keys."""
    if not key:
        return value
    if isinstance(record, list):
        inner = replaced(record[key[0]], key[1:], value)
        return [*record[: key[0]], inner, *record[key[0] + 1 :]]
    return {**record, key[0]: replaced(record.get(key[0]), key[1:], value)}


Q, NLL = ("sites", "q"), ("sites", "nll")
FORGED = [
    (("size",), -1),
    (("size",), 10),
    (("size",), 1 << 80),
    (("size",), 5.5),
    (("size",), True),
    (("units", 0, 3), 0),
    (("units", 0, 3), 1 << 70),
    (("units", 0, 3), 9),
    (("units", 0, 2), -3),
    (("units", 0, 1), "0"),
    (("sites",), []),
    (("sites",), {"../q": {}}),
    ((*Q, "offset"), -4096),
    ((*Q, "offset"), 1 << 40),
    ((*Q, "offset"), "here"),
    (("checksums", "q"), ""),
    (("checksums", "q"), 5),
    (("checksums", "q"), "0" * 64),
    (("checksums", "q"), "x" * 48),
    (("units",), []),
    (("units",), [[0, 0, 3, 8], [1, 3, 1, 2]]),
    (("dropped",), [0]),
    (("dropped",), [7]),
    ((*Q, "layout", "site"), "nll"),
    ((*Q, "layout", "dims"), ["layer"]),
    ((*Q, "layout", "dims"), ["layer", "layer", "head", "d_head"]),
    ((*Q, "layout", "shape"), [3, 8, 1 << 32, 1 << 32]),
    ((*Q, "layout", "shape"), [3, 8, -2, -5]),
    ((*Q, "layout", "shape"), [3, 8, 0, 5]),
    ((*Q, "layout", "shape"), [3, 8, 2.0, 5]),
    ((*Q, "layout", "shape"), "3825"),
    ((*Q, "layout", "dtype"), "object"),
    ((*Q, "layout", "dtype"), "float64"),
    (("labels",), {}),
    (("labels", "text", "dtype"), "O"),
    (("labels", "text", "shape"), [3, 1 << 50]),
    (("labels", "position", "dtype"), "<c16"),
    (("labels", "position", "dtype"), "i4,i4"),
    (("labels", "position", "offset"), 1 << 60),
    (("labels", "position", "shape"), [3, 1]),
    (("labels", "row_size", "shape"), [30]),
    (("label_checksums", "position"), ""),
    (("label_checksums", "position"), 5),
    (("labels", "position", "checksum"), "0" * 16),
    (
        ("labels", "surprise"),
        {"dims": ["sentence"], "shape": [3], "dtype": "<i8", "offset": 10},
    ),
    (("metadata_checksum",), 0),
    (("run",), "../../x"),
    (("pools", "provenance"), None),
    (("members", "edits"), [1]),
]


@pytest.mark.parametrize(("key", "value"), FORGED, ids=str)
def test_a_forged_commit_is_refused_in_one_line(key, value, copied):
    path = commit_paths(copied)[0]
    reseal(path, replaced(json.loads(json.dumps(read_commit(path).to_json())), key, value))
    with pytest.raises(DamagedStore, match=path.name) as found:
        read_commit(path)
    assert len(str(found.value).splitlines()) == 1
    assert len(str(found.value)) < 500
    assert len(problems(copied)) == 1


def test_variables_may_not_lie_on_each_other(copied):
    path = commit_paths(copied)[0]
    commit = read_commit(path)
    for victim, place in (("nll", commit.sites["q"].offset), ("nll", commit.labels["text"].offset)):
        record = commit.to_json()
        record["sites"][victim]["offset"] = place
        reseal(path, record)
        with pytest.raises(DamagedStore, match="overlap"):
            read_commit(path)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_forged_value_anywhere_is_more_than_an_error(data, stored, tmp_path_factory):
    record = json.loads(json.dumps(stored.records[0].to_json()))
    key, place = (), record
    while isinstance(place, dict) and place and (not key or data.draw(st.booleans())):
        key = (*key, data.draw(st.sampled_from(sorted(place))))
        place = place[key[-1]]
    path = tmp_path_factory.mktemp("forged") / "00000000-00000000.json"
    path.write_bytes(seal(replaced(record, key, data.draw(values))))
    try:
        commit = read_commit(path)
    except DamagedStore as error:
        assert path.name in str(error)
    else:
        assert isinstance(commit, CommitRecord)
        assert all(
            site.offset + site.layout.nbytes <= commit.size for site in commit.sites.values()
        )


@pytest.mark.parametrize(
    "units",
    [
        [[1, 0, 3, 8]],
        [[0, 1, 3, 8]],
        [[0, 0, 3]],
        [[0, 0, 9, 8]],
        [[0, 0, 0, 0]],
        [[0, 0, "3", 8]],
        "units",
        None,
        [7],
    ],
)
def test_a_forged_plan_is_refused(units, copied):
    path = copied.folder / "run.json"
    record = json.loads(path.read_bytes())
    record.pop("checksum")
    reseal(path, {**record, "units": units})
    with pytest.raises(DamagedStore, match=r"run\.json lacks a field or has a wrong one"):
        Run(copied.folder)


def test_units_of_different_shapes_are_not_taken_for_one_array(copied):
    path = commit_paths(copied)[1]
    commit = read_commit(path)
    record = json.loads(json.dumps(commit.to_json()))
    record["sites"]["q"]["layout"]["shape"] = [3, commit.units[0].tokens, 5, 2]
    reseal(path, record)
    copied.refresh()
    with pytest.raises(DamagedStore, match="has q in another shape"):
        copied.dataset(["q"])


def test_links_and_pipes_are_not_followed(copied, tmp_path):
    shard, other, _ = shards(copied)
    shutil.move(shard, tmp_path / "moved.h5")
    shard.symlink_to(tmp_path / "moved.h5")
    with pytest.raises(DamagedStore, match=shard.name):
        _ = copied.labels
    with pytest.raises(DamagedStore, match=shard.name):
        copied.dataset(["q"])
    other.unlink()
    os.mkfifo(other)
    found = problems(copied)
    assert [str(path) in problem for path, problem in zip((shard, other), found, strict=True)] == [
        True,
        True,
    ]
    commit = commit_paths(copied)[0]
    commit.unlink()
    os.mkfifo(commit)
    with pytest.raises(DamagedStore, match="is a link or no file at all"):
        read_commit(commit)


@pytest.mark.parametrize("place", ["commits", "shards", "."])
def test_a_folder_of_a_store_is_no_link(place, copied, tmp_path):
    folder = copied.folder / place
    shutil.move(folder, tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(DamagedStore, match="is a link: put the folder itself there"):
        Run(copied.folder)


def test_a_store_as_a_whole_may_be_a_link(copied, tmp_path):
    (tmp_path / "link").symlink_to(copied.folder.parents[1])
    assert problems(Store(tmp_path / "link").run("her")) == []


def test_what_is_opened_is_bounded(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (LARGEST_RECORD + 1))
    with pytest.raises(DamagedStore, match="no record has more than"):
        read_record(path)
    with path.open("r+b") as file:
        file.truncate(1 << 43)
    with (
        pytest.raises(DamagedStore, match="claims 8796093022208 bytes, the disk has"),
        opened(path),
    ):
        pass
    assert listed(tmp_path / "nowhere") == []


BOMBS = {
    "deep nesting": b"[" * 3_900_000,
    "much of nothing": b"[" + b"[]," * 1_300_000 + b"[]]",
    "a long number": b'{"checksum":' + b"9" * 3_900_000 + b"}",
    "no UTF-8": b'{"checksum":"\xff\xfe"}',
    "350 000 entries": b'{"checksum":"0","sites":{'
    + b",".join(b'"%d":0' % n for n in range(350_000))
    + b"}}",
}


MEASURING = """
import atexit, sys, time
from pathlib import Path
from actlas.scripts.cli import main
# the peak of this program alone; getrusage counts the process that forked it as well
status = Path("/proc/self/status")
peak = lambda: next(x.split()[1] for x in status.read_text().splitlines() if x.startswith("VmHWM"))
atexit.register(lambda: print("\\n", time.process_time(), peak()))
main(prog_name="actlas")
"""


def limited(*arguments):
    """Run a command; return status, errors, seconds that it kept a processor busy.

    Peak memory comes last.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURING, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    seconds, peak = done.stdout.split()[-2:]
    return done.returncode, done.stderr, float(seconds), int(peak) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux for the peak of memory")
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("target", ["commit", "run.json", "store.json", "names/her"])
def test_a_bomb_is_refused_in_a_moment(bomb, target, copied):
    store = copied.folder.parents[1]
    path = {"commit": commit_paths(copied)[0], "run.json": copied.folder / "run.json"}.get(
        target, store / target
    )
    path.unlink()
    path.write_bytes(BOMBS[bomb])
    status, errors, seconds, memory = limited("verify", "--store", store)
    assert (status, "Traceback" in errors) == (1, False), errors
    assert len(errors.splitlines()) <= 2
    assert max(map(len, errors.splitlines())) < 1000
    assert seconds < SECONDS
    assert memory < MEMORY


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux for the peak of memory")
def test_nearly_a_million_attributes_and_a_sparse_giant_are_refused_in_a_moment(copied):
    def million(file):
        attribute = h5py.h5s.create(h5py.h5s.SCALAR)
        for place in [file, *file.values()][:17]:
            for number in range(60_000):  # HDF5 takes no more than 65535 of one object
                h5py.h5a.create(place.id, b"a%d" % number, h5py.h5t.STD_I8LE, attribute)

    altered(copied, million)
    path, giant = commit_paths(copied)[1], shards(copied)[1]
    commit = read_commit(path)
    giant.chmod(0o644)
    os.truncate(giant, 1 << 43)
    reseal(path, {**commit.to_json(), "size": 1 << 43})
    status, errors, seconds, memory = limited("verify", "--store", copied.folder.parents[1])
    assert (status, len(errors.splitlines())) == (1, 2), errors
    assert "too many variables or attributes" in errors
    assert f"claims {1 << 43} bytes" in errors
    assert seconds < SECONDS
    assert memory < MEMORY


@pytest.mark.slow
def test_more_files_than_a_store_has_are_refused_in_a_moment(copied, monkeypatch):
    names = copied.folder.parents[1] / "names"
    for number in range(3000):
        (names / f"n{number}").touch()
    monkeypatch.setattr("actlas.store.io.safe_open.MOST_ENTRIES", 2000)
    with pytest.raises(DamagedStore, match="names has more than 2000 entries"):
        Store(copied.folder.parents[1]).names()


def test_nothing_unpickles():
    sources = [
        path
        for folder in ("store", "pipeline", "analysis", "scripts")
        for path in Path(folder).rglob("*.py")
    ]
    assert len(sources) > 40
    calls = re.compile(r"import pickle|pickle\.loads?\(|allow_pickle=True|torch\.load\(")
    offending = [str(path) for path in sources if calls.search(path.read_text())]
    assert offending == []
