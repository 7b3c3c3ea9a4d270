"""Links, pipes and giants in a store are not followed, not opened or read no further than a bound.

Nothing that is stored is run.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from actlas.store import DamagedStore, Run, Store
from actlas.store.io.safe_open import LARGEST_RECORD, listed, opened, read_record
from actlas.store.runs.commits import read_commit
from tests.store.hostile.forging import commit_paths
from tests.store.making import problems, shards


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


def test_nothing_unpickles():
    sources = [
        path
        for folder in ("store", "pipeline", "analysis", "scripts")
        for path in Path(folder).rglob("*.py")
    ]
    assert len(sources) > 40
    own = {"scripts/study/workers.py"}  # between processes that it forked, over pipes
    calls = re.compile(r"import pickle|pickle\.loads?\(|allow_pickle=True|torch\.load\(")
    offending = [
        str(path) for path in sources if str(path) not in own and calls.search(path.read_text())
    ]
    assert offending == []
