"""The studies of actlas are entry points of its own, and each is declared in full."""

import configparser
from pathlib import Path

import pytest

from actlas.analysis import registry
from actlas.analysis.declaring.options import specs

SETUP = Path(__file__).parents[2] / "setup.cfg"


def test_setup_declares_the_built_in_studies():
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    lines = setup["options.entry_points"][registry.GROUP].strip().splitlines()
    assert dict(line.split(" = ") for line in lines) == registry.BUILT_IN


@pytest.mark.parametrize("name", registry.names())
def test_a_study_is_declared_in_full(name):
    study = registry.find(name)
    assert study.name == name
    assert study.__doc__
    assert study.help.endswith(".")
    assert study.heading.endswith("?")
    assert study.question
    assert [field.name for field, spec in specs(study.options) if not spec.help] == []


def test_a_name_that_is_none_is_not_found():
    assert registry.find("varianz") is None
