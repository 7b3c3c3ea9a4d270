"""Runs with and without edits that the tests of this folder share."""

import pytest

from tests.extraction import extract_texts, extract_variant
from tests.pipeline.edits.edited_runs import EDITS
from tests.small_model import TEXTS


@pytest.fixture(scope="package")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("variants") / "store"


@pytest.fixture(scope="package")
def baseline(small_model, store):
    return extract_texts(store, small_model, TEXTS, unit_tokens=120)[0]


@pytest.fixture(scope="package")
def variant(small_model, store, baseline):
    return lambda name: extract_variant(store, small_model, TEXTS, EDITS[name], unit_tokens=120)
