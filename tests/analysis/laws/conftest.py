"""Runs under each law."""

import pytest

from tests.store.laws import LawContent, run_of

LAWS = ("add", "parallel", "post")


@pytest.fixture(params=LAWS)
def law(request):
    return request.param


@pytest.fixture
def content(law):
    return LawContent(law=law, causal=law != "post")


@pytest.fixture
def run(tmp_path, content):
    return run_of(tmp_path / "store", content)
