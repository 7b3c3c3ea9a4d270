"""Ctrl-C from Python: what is stored stays, the process goes on, the same call finishes."""

import signal
import threading

import pytest

import actlas
from actlas.pipeline.extraction import loop
from actlas.scripts.extraction.stopping import interrupt_requests
from actlas.store import Store
from tests.small_model import TEXTS


@pytest.fixture
def options(tmp_path):
    return {"store": tmp_path / "store", "sites": "nll", "unit_tokens": 20, "quiet": True}


def test_ctrl_c_ends_the_extraction_and_nothing_else(small_model, options, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    real = loop.extract_with

    def interrupted(*given):
        signal.raise_signal(signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(loop, "extract_with", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted: 0 of \d units are stored"):
        actlas.extract(TEXTS, small_model, **options)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    run = actlas.extract(TEXTS, small_model, **options)
    assert run.sites == ("nll",)
    assert len(Store(options["store"]).runs()) == 1


def test_the_second_raises_at_once_and_late_ones_are_not_lost():
    with pytest.raises(KeyboardInterrupt), interrupt_requests() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second Ctrl-C has to raise")
    with pytest.raises(KeyboardInterrupt), interrupt_requests():
        signal.raise_signal(signal.SIGINT)


def test_a_thread_may_extract(small_model, options):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(actlas.extract(TEXTS, small_model, **options))
    )
    thread.start()
    thread.join()
    assert found[0].sites == ("nll",)
