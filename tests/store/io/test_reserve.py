"""Room for a file before anything is written to it."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from actlas.store.io.durable import reserve

MEMORY = Path("/dev/shm")


def test_the_disk_is_reserved(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        reserve(file.fileno(), 1 << 20)
        assert os.fstat(file.fileno()).st_size == 1 << 20


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no tmpfs here")
def test_in_memory_no_page_is_filled_and_a_full_one_is_refused():
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        reserve(file.fileno(), 1 << 20)
        found = os.fstat(file.fileno())
        assert (found.st_size, found.st_blocks) == (1 << 20, 0)
        room = os.fstatvfs(file.fileno())
        with pytest.raises(OSError, match="No space left") as caught:
            reserve(file.fileno(), (room.f_blocks + 1) * room.f_frsize)
        assert caught.value.errno == errno.ENOSPC
