import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actlas.store.io.workspace import OWNER, collect_garbage, workspace
from tests.store.making import begin_run, shards, write_unit

WRITER = """
import sys
from pathlib import Path
from actlas.store import Run
from actlas.store.format.pools import Origin
from actlas.store.runs.commits import publish
from actlas.store.io.durable import publish_file
from actlas.store.io.workspace import workspace
from tests.store.making import Content, fill, open_shard
run, content, sites = Run(Path(sys.argv[1])), Content(), ["q", "nll"]
with workspace(run.folder) as work:
    for number in (0, 1):
        unit = content.plan[number]
        path = work.folder / f"{number:08d}-{work.token}.h5"
        writer = open_shard(path, content, unit, sites)
        if number == 0:  # a shard in place, its commit not yet
            fill(writer, content, unit, sites)
            publish_file(path, run.folder / "shards" / path.name)
    print(work.token, flush=True)
    sys.stdin.read()
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def writer(tmp_path, content, pytestconfig):
    """Return a run and a process that writes to it.

    At a shard of unit 0 without a commit and an unfinished unit 1.
    """
    run = begin_run(tmp_path / "store", content)
    command = [sys.executable, "-c", WRITER, run.folder]
    with subprocess.Popen(
        command, cwd=pytestconfig.rootpath, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.token = process.stdout.readline().strip()
        yield run, process
        process.kill()


def test_what_a_living_writer_has_stays(writer, content):
    run, process = writer
    assert collect_garbage(run.folder) == []
    assert names(run.folder / "tmp") == [process.token]
    # its owner file and the unfinished shard
    assert len(names(run.folder / "tmp" / process.token)) == 2
    write_unit(run, content, 0, ["resid"])  # another writer removes garbage as it begins
    run.refresh()
    assert len(names(run.folder / "shards")) == 2
    assert run.held(0) == {"resid"}


def test_what_a_killed_writer_left_is_removed(writer, content):
    run, process = writer
    write_unit(run, content, 2, ["resid"])
    run.refresh()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in shards(run)}
    removed = collect_garbage(run.folder)
    assert sorted(path.parent.name for path in removed) == ["shards", "tmp"]
    assert all(process.token in path.name for path in removed)
    assert names(run.folder / "tmp") == []
    assert {path.name: path.read_bytes() for path in (run.folder / "shards").iterdir()} == before
    for unit in content.plan:
        write_unit(run, content, unit.number, ["q", "nll"])
    run.refresh()
    assert run.sites == ("nll", "q")


def test_committed_shards_are_never_removed(copied):
    before = shards(copied)
    assert collect_garbage(copied.folder) == []
    assert names(copied.folder / "shards") == sorted(path.name for path in before)
    stray = copied.folder / "shards" / "00000000-00000000-0123456789ab.h5"
    stray.write_bytes(b"no commit speaks of it")
    assert collect_garbage(copied.folder) == [stray]
    assert names(copied.folder / "shards") == sorted(path.name for path in before)


def test_a_damaged_commit_stops_the_sweep_before_it_removes_anything(copied):
    damaged = sorted((copied.folder / "commits").iterdir())[0]
    damaged.unlink()
    damaged.write_bytes(b"{}")
    stray = copied.folder / "shards" / "stray-1.h5"
    stray.touch()
    with pytest.raises(Exception, match=damaged.name):
        collect_garbage(copied.folder)
    assert stray.exists()


def test_a_workspace_ends_with_its_block_however_that_ends(tmp_path, content):
    run = begin_run(tmp_path / "store", content)
    with pytest.raises(KeyboardInterrupt), workspace(run.folder) as work:
        (work.folder / "draft").touch()
        raise KeyboardInterrupt
    assert names(run.folder / "tmp") == []


def test_folders_without_an_owner_and_stray_files_do_no_harm(copied):
    (copied.folder / "tmp" / "killed-while-born").mkdir()
    (copied.folder / "tmp" / ".DS_Store").touch()
    assert collect_garbage(copied.folder) == [copied.folder / "tmp" / "killed-while-born"]
    (copied.folder / "tmp" / ".DS_Store").unlink()
    (copied.folder / "tmp").rmdir()  # as a copy that leaves empty folders out
    assert collect_garbage(copied.folder) == []


def test_writers_that_begin_together_do_not_sweep_each_other(copied):
    failures = []

    def begin():
        try:
            for _ in range(30):
                with workspace(copied.folder) as work:
                    assert (work.folder / OWNER).exists()
                    collect_garbage(copied.folder)
                    assert (work.folder / OWNER).exists()
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(copied.folder / "tmp") == []


def test_sweeping_leaves_no_descriptor_open(copied):
    before = len(list(Path("/dev/fd").iterdir()))
    for name in ("one", "two"):
        (copied.folder / "tmp" / name).mkdir()
    collect_garbage(copied.folder)
    assert len(list(Path("/dev/fd").iterdir())) == before
