"""Remembered digests: never another file's, and where times could lie the file is hashed again."""

import os
import shutil
import subprocess

import pytest
from safetensors.torch import load_file, save_file

from actlas.pipeline.models.files import digest_cache
from actlas.pipeline.models.files.tensor_files import TensorFile
from actlas.pipeline.models.folder import resolve


@pytest.fixture
def model(small_model, tmp_path, monkeypatch):
    """A model on a file system that keeps times, in a cache of its own.

    Its files long unchanged.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "SETTLED_SECONDS", -1.0)
    folder = shutil.copytree(small_model, tmp_path / "model")
    if digest_cache._mount(folder)[0] not in digest_cache.KEEPS_TIMES:
        pytest.skip("the folder for temporary files is on a file system that is never trusted")
    return folder


@pytest.fixture
def hashed(monkeypatch):
    """Names of tensors that were hashed in full."""
    names, real = [], TensorFile.digest

    def counted(self, name):
        names.append(name)
        return real(self, name)

    monkeypatch.setattr(TensorFile, "digest", counted)
    return names


def digest(folder):
    return resolve(str(folder)).weights_digest


def overwrite(path, place, times=None):
    """Flip a bit in place: same inode, and same size."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    if times:
        os.utime(path, ns=times)


def test_an_unchanged_file_is_hashed_once(model, hashed):
    first = digest(model)
    count = len(hashed)
    assert count > 0
    assert digest(model) == first
    assert len(hashed) == count


@pytest.mark.parametrize("place", [-1, -100_000, -7])
def test_a_bit_that_changes_in_place_under_the_old_time_is_seen(model, hashed, place):
    path = model / "model.safetensors"
    status = path.stat()
    before = digest(model)
    overwrite(path, status.st_size + place, (status.st_atime_ns, status.st_mtime_ns))
    assert digest(model) != before


def test_a_sample_is_part_of_the_key(model, monkeypatch):
    """Where device, inode, size and all times are equal the content still speaks."""
    path = model / "model.safetensors"
    status, real = path.stat(), os.fstat

    def frozen(descriptor):
        now = real(descriptor)
        return status if now.st_ino == status.st_ino else now

    monkeypatch.setattr(os, "fstat", frozen)
    before = digest(model)
    overwrite(path, status.st_size - 1)
    assert digest(model) != before


def test_a_file_that_has_just_changed_is_not_remembered(model, hashed, monkeypatch):
    monkeypatch.setattr(digest_cache, "SETTLED_SECONDS", 10.0)
    digest(model)
    count = len(hashed)
    digest(model)
    assert len(hashed) == 2 * count


def test_whole_seconds_are_not_trusted(model, hashed, monkeypatch):
    """As squashfs, ISO and many network file systems have them."""
    real = os.fstat

    class Coarse:
        def __init__(self, status):
            self._status = status

        def __getattr__(self, name):
            value = getattr(self._status, name)
            return value // 10**9 * 10**9 if name in ("st_ctime_ns", "st_mtime_ns") else value

    monkeypatch.setattr(os, "fstat", lambda descriptor: Coarse(real(descriptor)))
    digest(model)
    count = len(hashed)
    digest(model)
    assert len(hashed) == 2 * count


def test_a_damaged_record_is_not_believed(model, hashed):
    first = digest(model)
    (record,) = (model.parent / "cache" / "actlas" / "weights").iterdir()
    for content in (b"", b"[]", b"null", b'{"key": 1, "tensors": {}}', record.read_bytes()[:-9]):
        record.write_bytes(content)
        assert digest(model) == first


def test_no_home_is_no_error(model, monkeypatch):
    """As for a user without HOME and without an entry in passwd."""
    wanted = digest(model)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(digest_cache.Path, "home", homeless)
    assert digest(model) == wanted


@pytest.fixture
def images(small_model, tmp_path):
    """Two squashfs images with equal times and sizes.

    Of models that differ in one number the sample does not see.
    """
    if shutil.which("mksquashfs") is None or os.geteuid() != 0:
        pytest.skip("needs mksquashfs, and root to mount")
    paths = []
    for number in range(2):
        folder = shutil.copytree(small_model, tmp_path / f"source{number}")
        weights = load_file(folder / "model.safetensors")
        weights["transformer.ln_f.bias"] = weights["transformer.ln_f.bias"] + number
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        image = tmp_path / f"{number}.squashfs"
        normalised = [
            "-noappend",
            "-quiet",
            "-no-progress",
            "-all-time",
            "1000000000",
            "-mkfs-time",
            "1000000000",
        ]
        subprocess.run(
            ["mksquashfs", folder, image, *normalised, "-noI", "-noD"],
            check=True,
            capture_output=True,
        )
        paths.append(image)
    return paths


@pytest.mark.slow
def test_images_mounted_at_one_path_in_turn_are_two_models(images, tmp_path, actlas):
    """Path, device, inode, size and times are all the same."""
    place, statuses, answers = tmp_path / "mnt", [], []
    place.mkdir()
    (tmp_path / "t.txt").write_text("We saw her.\n")
    for image in images:
        if subprocess.run(["mount", "-o", "loop,ro", image, place], capture_output=True).returncode:
            pytest.skip("cannot mount here")
        try:
            found = (place / "model.safetensors").stat()
            statuses.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
            done = actlas("extract", "t.txt", "--model", place, "--store", "s", "--json")
            assert done.returncode == 0, done.stderr
            answers.append(done.stdout)
        finally:
            subprocess.run(["umount", place], check=True)
    assert statuses[0] == statuses[1]
    assert len(list((tmp_path / "s" / "runs").iterdir())) == 2


def test_mounts_are_found_by_path(monkeypatch, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 8:2 / /data rw,noatime master:1 - xfs /dev/b rw,x=1\n"
        "3 1 7:0 / /data/my\\040image ro - squashfs /dev/loop0 ro,errors=continue\n"
        "4 1 8:3 / /data rw - fuse.sshfs host rw\n"
    )
    monkeypatch.setattr(digest_cache, "MOUNTS", table)
    found = {
        str(path): digest_cache._mount(path)
        for path in map(digest_cache.Path, ("/a", "/data/x", "/data/my image/m"))
    }
    assert found == {
        "/a": ("ext4", True),
        "/data/x": ("fuse.sshfs", True),
        "/data/my image/m": ("squashfs", False),
    }
