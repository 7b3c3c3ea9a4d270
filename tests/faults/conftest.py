"""A ground for harm, and the servers that do it."""

import shutil
from contextlib import ExitStack

import pytest

from actlas.scripts.bench.faults import open_desks
from actlas.scripts.bench.injection.fixture import Ground, make_base
from tests.everything import copy_of_everything, everything  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """Servers that hurt commands, and a folder for what they leave."""
    scratch = tmp_path_factory.mktemp("faults")
    with ExitStack() as stack:
        yield open_desks(scratch, 1, stack.enter_context)[0]


@pytest.fixture(scope="session")
def base(desk):
    """What every operation finds."""
    return make_base(desk.scratch, desk.victim)


@pytest.fixture(scope="session")
def grounds(desk, base):
    """Return operation → its ground, made when it is asked for."""

    class Grounds(dict):
        def __missing__(self, name):
            self[name] = Ground(name, base, desk.scratch, desk.victim)
            return self[name]

    return Grounds()


@pytest.fixture
def copied(desk, base):
    """A copy of what every operation finds."""
    return shutil.copytree(base, desk.new())
