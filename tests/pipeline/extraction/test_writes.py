"""The threads behind an extraction: what waits for what."""

import threading

import pytest

from actlas.pipeline.extraction import writes as writing
from actlas.pipeline.extraction.writes import WriteQueue
from actlas.store.errors import StoreError

LONG = 60  # seconds that nothing takes, unless it would wait for ever


def test_rows_are_written_while_the_unit_before_is_committed():
    order, written = [], threading.Event()

    def commit():
        assert written.wait(LONG)
        order.append("commit of 0")

    with WriteQueue() as writes:
        writes.submit(0, lambda: order.append("rows of 0"))
        writes.commit(commit)
        writes.submit(0, lambda: (order.append("rows of 1"), written.set()))
        writes.commit(lambda: order.append("commit of 1"))
        writes.drain()
    assert order == ["rows of 0", "rows of 1", "commit of 0", "commit of 1"]


def test_a_unit_is_committed_behind_its_last_flush(monkeypatch):
    monkeypatch.setattr(writing, "FLUSH_BYTES", 10)
    order, go = [], threading.Event()

    def flush():
        assert go.wait(LONG)
        order.append("flush")

    with WriteQueue() as writes:
        writes.submit(10, lambda: writes.flush_now_and_then(10, flush))
        writes.commit(lambda: order.append("commit"))
        writes.submit(0, go.set)
        writes.drain()
    assert order == ["flush", "commit"]


def test_an_error_of_a_commit_is_raised_in_the_caller():
    def fail():
        raise OSError(28, "No space left on device", "a.h5")

    with WriteQueue() as writes:
        writes.commit(fail)
        with pytest.raises(StoreError, match=r"cannot write a.h5: No space left .*make room"):
            writes.drain()
