"""File systems that lack something.

No hard links, no modes, no locks, no reservation, no sync of folders, no room.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actlas.store import Run, Store, UsageError
from actlas.store.io.durable import naming, publish_bytes, publish_file, reserve
from actlas.store.io.safe_open import read_input, read_record
from actlas.store.writing.export import export
from tests import disk
from tests.store.making import make_run

#: what people do with a store, and that it reads as before; the last word tells that all went well
WORK = """
import sys
from pathlib import Path
import numpy as np
from actlas.store import Run, Store, StoreError
from actlas.store.maintenance.verify import verify
from actlas.store.writing.export import export
from actlas.store.maintenance.verify_export import verify_export
from actlas.store.maintenance.gc import collect, remove, rename
from actlas.store.writing.pack import pack
from actlas.store.maintenance.repair import repair
from tests.store.making import Content, flip, make_run, shards, write_unit
place, content = Path(sys.argv[1]), Content()
run = make_run(place / "store", content, "her")
store = Store(place / "store")
def check():
    run.refresh()
    assert not [problem for item in verify(run) for problem in item.problems]
    np.testing.assert_array_equal(run.dataset()["q"].values, content.values["q"])
check()
flip(shards(run)[1], run.commits[1].sites["q"].offset)
assert [item.unit for item in repair(run, list(verify(run))).dropped] == [1]
assert write_unit(run, content, 1, tuple(content.dtypes))
assert not write_unit(run, content, 1, tuple(content.dtypes))
check()
pack(run)
check()
assert rename(store, "her", "it")[1] == "her"
exported, new = export(run, place / "her.h5")
assert new and not export(run, place / "her.h5")[1]
assert not [problem for item in verify_export(exported) for problem in item.problems]
other = make_run(place / "store", Content(seed=1), "other", other=1)
remove(store, other.id)
assert collect(store).garbage == () and store.damaged() == {}, collect(store, dry_run=True)
paths = (place / "store").rglob("*")
assert not [path for path in paths if path.name == "owner" or "draft" in path.name]
print("whole")
"""
LACKS = {
    "nothing": "",
    "links": disk.UNLINKED,
    "links that FUSE has no call for": "link=38 chmod=38",
    "links and renaming without overwriting": f"{disk.UNLINKED} renameat2=22",
    "reservation": disk.UNRESERVED,
    "sync of folders": "fsync_folder=22",
    "all of it": f"{disk.UNLINKED} renameat2=38 {disk.UNRESERVED} fsync_folder=38",
}
EXFAT = (
    "truncate -s 300m {ram}/image",
    "mkfs.exfat {ram}/image > {ram}/said",
    "loop=$(losetup -f --show {ram}/image)",
)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return disk.library(tmp_path_factory.getbasetemp())


@pytest.mark.slow
@pytest.mark.parametrize("missing", LACKS)
def test_a_store_works_where_a_file_system_lacks(missing, library, tmp_path):
    done = disk.python(library, LACKS[missing], WORK, tmp_path)
    assert done.stdout.strip() == "whole", done.stderr


REAL = {
    "tmpfs": ("mount -t tmpfs -o size=100m none {place}",),
    "exFAT by FUSE": (
        "mount -t tmpfs -o size=400m none {ram}",
        *EXFAT,
        "mount.exfat-fuse $loop {place} >> {ram}/said 2>&1",
        "losetup -d $loop",
    ),
    "FUSE over another": ("bindfs {ram} {place}",),
    "overlay by FUSE": (
        "mkdir -p {ram}/lower {ram}/upper {ram}/work",
        "fuse-overlayfs -o lowerdir={ram}/lower,upperdir={ram}/upper,workdir={ram}/work {place}",
    ),
    "xfs": (
        "mount -t tmpfs -o size=400m none {ram}",
        "truncate -s 320m {ram}/image",
        "mkfs.xfs -q {ram}/image",
        "mount -o loop {ram}/image {place}",
    ),
    "vfat": (
        "mount -t tmpfs -o size=100m none {ram}",
        "truncate -s 64m {ram}/image",
        "mkfs.vfat {ram}/image > {ram}/said",
        "mount -o loop {ram}/image {place}",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REAL)
def test_a_store_works_on_a_real_file_system(kind, tmp_path):
    ram, place = tmp_path / "ram", tmp_path / "place"
    ram.mkdir()
    place.mkdir()
    commands = (command.format(ram=ram, place=place) for command in REAL[kind])
    prefix = disk.mounted(*commands, after=f"umount {place}" if "FUSE" in kind else "")
    done = disk.python(None, "", WORK, place, prefix=prefix)
    assert done.stdout.strip() == "whole", done.stderr


TWO = """
import sys, threading
from pathlib import Path
from actlas.store.io.durable import publish_bytes
place, mine = Path(sys.argv[1]), sys.argv[2]
won = 0
for number in range(150):
    won += publish_bytes(mine.encode(), place / f"n{number}", temporary=place / mine)
print(won)
"""


@pytest.mark.parametrize("missing", ["", "renameat2=22"])
def test_without_links_two_writers_never_overwrite_each_other(missing, library, tmp_path):
    command = [sys.executable, "-c", TWO, str(tmp_path)]
    variables = {**os.environ, "LD_PRELOAD": str(library), "DISK": f"{disk.UNLINKED} {missing}"}
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    writers = [
        subprocess.Popen(
            [*command, name], env=variables, cwd=disk.ROOT, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    won = {
        name: int(writer.communicate()[0])
        for name, writer in zip(("one", "two", "three"), writers, strict=True)
    }
    kept = [path.read_text() for path in tmp_path.glob("n*")]
    assert {name: kept.count(name) for name in won} == won
    assert len(kept) == 150
    assert [path for name in won for path in (tmp_path / name).iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_nothing_is_written_and_all_is_read(code, library, tmp_path, content):
    run = make_run(tmp_path / "store", content, "her")
    (
        run.folder / "tmp" / "dead"
    ).mkdir()  # what another left, of whom nobody knows whether it lives
    (run.folder / "commits").joinpath(min(run.folder.glob("commits/*")).name).unlink()
    before = sorted(path for path in run.folder.rglob("*") if path.name != "owner")
    for command in (["pack", "her"], ["gc"], ["rename", "her", "it"], ["rm", "her", "--yes"]):
        done = disk.actlas(library, f"flock={code}", *command, "--store", tmp_path / "store")
        assert done.returncode == 1, (command, done)
        assert "cannot be locked (" in done.stderr
        assert "its file system keeps no locks" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    for command in (["ls"], ["verify"], ["verify", "her"]):
        done = disk.actlas(library, f"flock={code}", *command, "--store", tmp_path / "store")
        assert (done.returncode, done.stderr) == (0, ""), (command, done)
    assert sorted(path for path in run.folder.rglob("*") if path.name != "owner") == before


def test_what_cannot_reserve_is_extended(library, tmp_path):
    code = "import os, sys; from actlas.store.io.durable import reserve\n"
    code += "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
    code += "reserve(file, 1 << 20); found = os.fstat(file); print(found.st_size, found.st_blocks)"
    done = disk.python(library, disk.UNRESERVED, code, tmp_path / "file")
    assert done.stdout == f"{1 << 20} 0\n", done.stderr


def test_an_error_of_reading_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "record").write_bytes(b"{}")
    for read in (read_record, lambda path: read_input(path, 100)):
        monkeypatch.setattr("os.fstat", _failing)
        with pytest.raises(OSError, match="Input/output error") as found:
            read(tmp_path / "record")
        monkeypatch.undo()
        assert found.value.filename == str(tmp_path / "record")
    with pytest.raises(OSError, match="there"), naming(tmp_path / "there"):
        _failing(0)


def _failing(*_):
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.slow
def test_a_full_disk_is_a_line_with_a_name_and_rm_works(tmp_path, content):
    place = tmp_path / "place"
    place.mkdir()
    prefix = disk.mounted(f"mount -t tmpfs -o size=1m none {place}")
    script = """
import subprocess, sys
from pathlib import Path
from tests.store.making import Content, make_run
place = Path(sys.argv[1])
make_run(place / "store", Content(), "her")
make_run(place / "store", Content(seed=1), "other", other=1)
with (place / "ballast").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(512))
    except OSError:
        pass
orders = ["pack her", f"export her {place}/out.h5", "rename her it", "gc"]
orders += ["rm other --yes", "verify"]
for words in map(str.split, orders):
    command = [sys.executable, "-m", "actlas.scripts", *words, "--store", str(place / "store")]
    done = subprocess.run(command, capture_output=True, text=True)
    said = ("No space left" in done.stderr, str(place) in done.stderr)
    print(words[0], done.returncode, len(done.stderr.splitlines()), *said)
"""
    done = disk.python(None, "", script, place, prefix=prefix)
    said = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in said] == ["pack", "export", "rename", "gc", "rm", "verify"], (
        done.stderr
    )
    for name, code, lines, full, named in said:
        refused = name in ("pack", "export", "rename")
        assert (code, lines, full, named) == (
            ("1", "1", "True", "True") if refused else ("0", "0", "False", "False")
        ), name


def test_publishing_takes_no_mode_where_there_is_none(tmp_path, monkeypatch):
    def refused(*_args, **_options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.chmod", refused)
    assert publish_bytes(b"content", tmp_path / "name", temporary=tmp_path)
    (tmp_path / "again").write_bytes(b"again")
    assert not publish_file(tmp_path / "again", tmp_path / "name", keep=True)
    assert (tmp_path / "again").exists()


def test_a_store_reads_on_after_the_folder_was_changed(tmp_path, content, monkeypatch):
    make_run(tmp_path / "store", content, "her")
    monkeypatch.chdir(tmp_path)
    store, run = Store("store"), Store("store").run("her")
    other, lazy = Run(run.folder.relative_to(tmp_path)), run.dataset()
    exported, _ = export(run, Path("her.h5"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    expected = content.values["q"]
    for each in (lazy, other.dataset(), exported.dataset(), store.run("her").dataset()):
        assert (each["q"].values == expected).all()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/store").path == tmp_path / "store"
    assert Store.is_at("~/store")
    assert Store.create("~/made").path == tmp_path / "made"
    assert not (tmp_path / "~").exists()


def test_without_a_home_folder_a_store_in_it_is_a_line(monkeypatch):
    def homeless(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.expanduser", homeless)
    with pytest.raises(
        UsageError, match=r"~/store: there is no home folder here \(HOME is not set\)"
    ):
        Store("~/store")


def test_reserve_raises_for_a_full_disk(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match=r"No space left|File too large"):
        reserve(descriptor, 1 << 60)
    os.close(descriptor)
