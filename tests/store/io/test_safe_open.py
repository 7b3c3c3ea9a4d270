import os
from pathlib import Path

import pytest

from actlas.store.errors import DamagedStore, UsageError, quoted, unknown
from actlas.store.io.safe_open import read_input


def test_a_file_or_a_link_to_one_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_input(tmp_path / "link", 3) == b"abc"


def test_what_is_not_a_regular_file_or_too_large_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"abcd")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(UsageError, match="is not a regular file"):
            read_input(tmp_path / name, 3)
    with pytest.raises(DamagedStore, match="has 4 bytes, expected at most 3"):
        read_input(tmp_path / "file", 3, DamagedStore)
    with pytest.raises(FileNotFoundError):
        read_input(Path(tmp_path / "none"), 3)


def test_a_message_repeats_an_input_on_one_line_and_in_short():
    assert quoted("a\x1b[31m\n") == "'a\\x1b[31m\\n'"
    assert len(quoted("x" * 10**6)) < 110
    assert len(str(unknown("run", "x" * 10**6, ["one"]))) < 200
