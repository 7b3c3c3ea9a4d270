"""Files that would fill the memory or take hours are refused in a moment."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from actlas.store import DamagedStore, Store
from actlas.store.runs.commits import read_commit
from tests.store.hostile.forging import altered, commit_paths, reseal
from tests.store.making import shards

SECONDS, MEMORY = 5, 500 << 20  # of processor and of memory at the peak
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
