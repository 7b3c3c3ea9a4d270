"""Exports that are killed, run side by side, meet a full disk or have little memory."""

import signal
import subprocess
import sys

import pytest

from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from tests.store.making import Content, make_run
from tests.store.writing.exports import problems

WRITER = """
import sys
from pathlib import Path
from actlas.store import Store
from actlas.store.writing.export import export
store, out, stop = Store(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
seen = 0
def progress(nbytes, total):
    global seen
    seen += 1
    if seen == stop:
        print(flush=True)
        sys.stdin.read()
export(store.run("her"), out, progress=progress)
"""


def exporting(stored, out, stop, root):
    command = [sys.executable, "-c", WRITER, stored.folder.parents[1], out, str(stop)]
    return subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_export_leaves_no_file_and_the_next_one_sweeps(stored, tmp_path, pytestconfig):
    out = tmp_path / "her.h5"
    with exporting(stored, out, 7, pytestconfig.rootpath) as process:
        process.stdout.readline()
        assert not out.exists()
        process.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == [".her.h5.draft"]
    assert export(stored, out)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["her.h5"]


def test_two_exports_at_once_agree(stored, tmp_path, pytestconfig):
    out = tmp_path / "her.h5"
    with exporting(stored, out, 7, pytestconfig.rootpath) as process:
        process.stdout.readline()
        assert export(stored, out)[1]
        _, errors = process.communicate("", timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["her.h5"]
    assert problems(Exported(out)) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from actlas.store import Store
from actlas.store.errors import StoreError
from actlas.store.writing.export import export
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    export(Store(sys.argv[1]).run("her"), Path(sys.argv[2]))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("short", [1, 5000, 20_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(short, stored, tmp_path, pytestconfig):
    size = export(stored, tmp_path / "whole.h5")[0].file.stat().st_size
    command = [
        sys.executable,
        "-c",
        FULL,
        stored.folder.parents[1],
        tmp_path / "her.h5",
        str(size - short),
    ]
    done = subprocess.run(
        command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert "cannot" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]


LARGE = """
import resource, sys
from pathlib import Path
from actlas.store import Store
from actlas.store.writing.export import export
run, out = Store(sys.argv[1]).run("large"), Path(sys.argv[2])
import xarray, dask.array, h5netcdf
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export(run, out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="maximal memory is counted in other units elsewhere"
)
def test_memory_is_a_block_and_not_the_run(tmp_path, pytestconfig):
    content = Content(
        units=tuple([(250,) * 4] * 6),
        dtypes={"q": "float16"},
        sizes={"layer": 6, "head": 20, "d_head": 50},
    )
    run = make_run(tmp_path / "store", content, "large")
    command = [sys.executable, "-c", LARGE, run.folder.parents[1], tmp_path / "large.h5"]
    done = subprocess.run(
        command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True
    )
    nbytes = 6 * 6 * 1000 * 1000 * 2  # 72 MB
    assert Exported(tmp_path / "large.h5").nbytes > nbytes
    assert int(done.stdout) * 1024 < nbytes / 2
