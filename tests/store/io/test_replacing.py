"""Files replaced as a whole.

After any failure the old one is there, nobody's drafts stay, and living writers keep theirs.
"""

import signal
import subprocess
import sys

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from actlas.store.io.replacing import replacing

HOLDING = """
import os, signal, sys
from pathlib import Path
from actlas.store.io.replacing import replacing
with replacing(Path(sys.argv[1])) as files:
    files.add("a.nc", [b"half"])
    print("written", flush=True)
    sys.stdin.read()
"""


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_what_is_written_is_read_and_known_by_its_digest(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("files") / "new" / "deep"
    with replacing(folder) as files:
        digest = files.add("a", pieces)
        assert not (folder / "a").exists()
    assert (folder / "a").read_bytes() == b"".join(pieces)
    assert digest == xxhash.xxh3_128_hexdigest(b"".join(pieces))


def test_after_an_error_the_old_files_are_there_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")

    def failing():
        yield b"new"
        raise RuntimeError("computing failed")

    with pytest.raises(RuntimeError), replacing(tmp_path) as files:
        files.add("b", [b"new"])
        files.add("a", failing())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_folders_made_for_nothing_are_removed(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "new" / "deep") as files:
        files.add("a", [b"new"])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_about_the_file_and_not_its_draft(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="Is a directory") as caught, replacing(tmp_path) as files:
        files.add("a", [b"new"])
    assert caught.value.filename == str(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_writers_draft_is_removed_and_a_living_ones_is_not(tmp_path, killed):
    command = [sys.executable, "-c", HOLDING, tmp_path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "written\n"
        if killed:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        with replacing(tmp_path) as files:
            files.add("b", [b"whole"])
        assert len([path for path in tmp_path.iterdir() if path.suffix == ".draft"]) == (not killed)
        writer.stdin.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == (["b"] if killed else ["a.nc", "b"])
