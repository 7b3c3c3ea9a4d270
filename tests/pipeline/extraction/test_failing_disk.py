"""A disk that fails while activations are written.

Said once by the system, and never forgotten here.
"""

import errno
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from actlas.pipeline.extraction import writes as writing
from actlas.pipeline.extraction.transfer import HostTransfer
from actlas.pipeline.extraction.writes import WriteQueue
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.geometry import Geometry
from actlas.store import Store, StoreError
from actlas.store.writing.shard import ShardWriter
from tests import disk
from tests.extraction import extract_texts
from tests.small_model import TEXTS
from tests.store.making import Content, fill, open_shard

MANY_FLUSHES = "from actlas.pipeline.extraction import writes; writes.FLUSH_BYTES = 1000"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return disk.library(tmp_path_factory.getbasetemp())


@pytest.mark.slow
@pytest.mark.parametrize("number", ["", "@0"], ids=["always", "once"])
def test_a_flush_that_fails_ends_its_unit_though_the_sync_after_it_succeeds(
    number, library, tmp_path, small_model, actlas
):
    (tmp_path / "some.txt").write_text("\n".join(TEXTS))
    arguments = [
        "extract",
        tmp_path / "some.txt",
        "--model",
        small_model,
        "--store",
        tmp_path / "store",
        "--quiet",
    ]
    done = disk.actlas(library, f"fdatasync={errno.EIO}{number}", *arguments, before=MANY_FLUSHES)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    assert "Input/output error: see to the disk, then run the same command again" in done.stderr
    (run,) = Store(tmp_path / "store").runs()
    assert run.commits == ()
    assert list((run.folder / "shards").iterdir()) == list((run.folder / "tmp").iterdir()) == []
    assert actlas(*arguments).returncode == 0


@pytest.mark.parametrize("call", ["write", "flush", "finish", "close"])
def test_a_shard_that_failed_once_fails_for_good(call, tmp_path, monkeypatch):
    content = Content(units=((3,),), dtypes={"nll": "float32"})
    writer = open_shard(tmp_path / "a.h5", content, content.plan[0], ["nll"])
    monkeypatch.setattr("os.fdatasync", _failing)
    with pytest.raises(OSError, match=r"Input/output error: .*a\.h5"):
        writer.flush()
    monkeypatch.undo()
    calls = {
        "write": lambda: writer.write("nll", 0, 3, [np.zeros(3, np.float32)]),
        "flush": writer.flush,
        "finish": lambda: fill(writer, content, content.plan[0], ["nll"]),
        "close": lambda: writer.close(b"tail"),
    }
    with pytest.raises(OSError, match=r"Input/output error: .*a\.h5"):
        calls[call]()
    writer.drop()
    assert list(tmp_path.iterdir()) == []


def _failing(_descriptor):
    raise OSError(errno.EIO, "Input/output error")


def test_the_error_of_every_flush_is_raised(monkeypatch):
    """The first one fails after others were asked for; whoever is next hears of it."""
    monkeypatch.setattr(writing, "FLUSH_BYTES", 10)
    begun, go = threading.Event(), threading.Event()

    def first():
        begun.set()
        go.wait()
        _failing(0)

    with WriteQueue() as writes:
        writes.flush_now_and_then(10, first)
        begun.wait()
        writes.flush_now_and_then(10, int)  # one is under way: not now
        go.set()
        writes._flusher.submit(int).result()
        with pytest.raises(OSError, match="Input/output error"):
            writes.flush_now_and_then(10, int)


def test_a_unit_that_fails_leaves_no_file_open_and_the_ones_before_it_stored(
    tmp_path, small_model, monkeypatch
):
    real, calls = ShardWriter.close, []

    def close(writer, tail):
        calls.append(writer)
        if len(calls) == 2:
            _failing(0)
        real(writer, tail)

    monkeypatch.setattr(ShardWriter, "close", close)
    with pytest.raises(StoreError, match="Input/output error"):
        extract_texts(tmp_path / "store", small_model, TEXTS, unit_tokens=20)
    (run,) = Store(tmp_path / "store").runs()
    assert [commit.unit.number for commit in run.commits][:1] == [0]
    assert 1 not in [commit.unit.number for commit in run.commits]
    assert calls[1]._descriptor == -1


@pytest.mark.slow
def test_at_the_size_where_units_are_flushed_by_themselves(tmp_path, monkeypatch):
    """Two flushes of a unit of 300 MB; the first fails, once."""
    width, tokens = 2048, 40_000
    site = Architecture(GPT2, Geometry(1, 1, width, width, 4, 8, 9)).hook_point("final_norm", 0)
    content = Content(
        units=((tokens,),), dtypes={"final_norm": "float32"}, sizes={"d_model": width}
    )
    writer = open_shard(tmp_path / "a.h5", content, content.plan[0], ["final_norm"])
    real, calls = ShardWriter.flush, []
    monkeypatch.setattr(
        ShardWriter, "flush", lambda each: (calls.append(1), _once_failing(each, calls, real))
    )
    rows = torch.zeros(1, 2000, width)
    with WriteQueue() as writes:
        host = HostTransfer(writes)
        with pytest.raises(StoreError, match="Input/output error"):
            for _ in range(tokens // 2000):
                host.send(writer, site, rows, [2000])
            writes.drain()
        writes.settle()
    assert calls
    with pytest.raises(OSError, match="Input/output error"):
        writer.finish()
    writer.drop()


def _once_failing(writer, calls, real):
    with writer._once():
        if len(calls) == 1:
            _failing(0)
    real(writer)


REAL = """
import sys
from pathlib import Path
from actlas.pipeline.extraction import writes
from tests.store.making import Content, begin_run, open_shard, narrowed
from actlas.store.format.pools import Origin
from actlas.store.runs.commits import publish
from actlas.store.io.workspace import workspace
import numpy as np, os
content = Content(units=((4000,),), dtypes={"final_norm": "float32"}, sizes={"d_model": 8192})
run = begin_run(Path(sys.argv[1]), content)
unit = content.plan[0]
with workspace(run.folder) as work:
    path = work.folder / f"00000000-{work.token}.h5"
    writer = open_shard(path, content, unit, ["final_norm"])
    rows = np.ones((100, 8192), np.float32)
    said = []
    for number in range(40):
        try:
            writer.write("final_norm", 0, 100, [rows])
            writer.flush()
        except OSError as error:
            said.append(f"{error.errno} {error.filename}")
    try:
        writer._error, seen = None, writer._error  # what happens to who forgets it
        os.fsync(writer._descriptor)
    except OSError:
        pass
    writer._error = seen
    try:
        record = writer.finish()
        commit = record.commit(run.id, unit, writer.path.name, Origin({}))
        publish(run.folder, writer, commit)
    except (OSError, ValueError) as error:
        said.append("refused")
    writer.drop()
run.refresh()
shards = sorted(path.name for path in (run.folder / "shards").iterdir())
print(len(said) > 1, said[-1], len(run.commits), shards)
"""


@pytest.mark.slow
def test_a_real_disk_that_fails_under_a_file_system(tmp_path):
    """An ext4 in a file that its own disk has no room for.

    What was written is lost when the system writes it back.
    """
    ram, disk_ = tmp_path / "ram", tmp_path / "disk"
    ram.mkdir()
    disk_.mkdir()
    prefix = disk.mounted(
        f"mount -t tmpfs -o size=48m none {ram}",
        f"truncate -s 800m {ram}/image",
        f"mkfs.ext4 -q -m 0 -E lazy_itable_init=1,nodiscard -O ^has_journal {ram}/image",
        f"mount -o loop {ram}/image {disk_}",
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-c", REAL, disk_ / "store"],
        cwd=disk.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip().startswith("True refused 0 []"), (
        done.stdout[-2000:],
        done.stderr[-2000:],
    )
