import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store.io.durable import (
    make_folder,
    naming,
    publish_bytes,
    publish_file,
    reserve,
    sync_folder,
)


@given(content=st.binary(max_size=3000))
def test_published_bytes_are_what_was_given(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    assert publish_bytes(content, folder / "name", temporary=folder)
    assert (folder / "name").read_bytes() == content
    assert list(folder.iterdir()) == [folder / "name"]


def test_a_name_keeps_its_first_content(tmp_path):
    (tmp_path / "aside").mkdir()
    assert publish_bytes(b"first", tmp_path / "name", temporary=tmp_path / "aside")
    assert not publish_bytes(b"second", tmp_path / "name", temporary=tmp_path / "aside")
    (tmp_path / "third").write_bytes(b"third")
    assert not publish_file(tmp_path / "third", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"first"
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o444
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside", "name"]
    assert not list((tmp_path / "aside").iterdir())


def test_a_failure_leaves_no_draft(tmp_path):
    (tmp_path / "aside").mkdir()
    with pytest.raises(FileNotFoundError):
        publish_bytes(b"content", tmp_path / "nowhere" / "name", temporary=tmp_path / "aside")
    assert not list((tmp_path / "aside").iterdir())


def test_folders_are_made_with_their_parents_and_may_exist(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "d")


def test_syncing_and_publishing_leave_no_descriptor_open(tmp_path):
    before = len(list(Path("/dev/fd").iterdir()))
    sync_folder(tmp_path)
    publish_bytes(b"content", tmp_path / "name", temporary=tmp_path)
    with pytest.raises(NotADirectoryError):
        publish_bytes(b"content", tmp_path / "name" / "name", temporary=tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_reserved_space_is_there_and_keeps_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    descriptor = os.open(tmp_path / "file", os.O_RDWR)
    try:
        reserve(descriptor, 1 << 20)
        assert os.fstat(descriptor).st_size == 1 << 20
        if hasattr(os, "posix_fallocate"):
            assert os.fstat(descriptor).st_blocks * 512 >= 1 << 20
        assert os.pread(descriptor, 9, 0) == b"content\0\0"
    finally:
        os.close(descriptor)


def test_an_error_without_a_file_gets_one_and_keeps_its_own(tmp_path):
    for error, said in (
        (OSError(5, "Input/output error"), str(tmp_path)),
        (OSError(5, "…", "other"), "other"),
    ):
        with pytest.raises(OSError) as found, naming(tmp_path):
            raise error
        assert (found.value.errno, found.value.filename) == (5, said)
