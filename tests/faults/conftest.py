"""A fixture for harm, and the servers that do it."""

import shutil
from contextlib import ExitStack

import pytest

from actlas.scripts.bench.faults import open_sessions
from actlas.scripts.bench.injection.fixture import Fixture, make_base
from tests.everything import copy_of_everything, everything  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    """Servers that hurt commands, and a folder for what they leave."""
    scratch = tmp_path_factory.mktemp("faults")
    with ExitStack() as stack:
        yield open_sessions(scratch, 1, stack.enter_context)[0]


@pytest.fixture(scope="session")
def base(session):
    """What every operation finds."""
    return make_base(session.scratch, session.server)


@pytest.fixture(scope="session")
def fixtures(session, base):
    """Return operation → its fixture, made when it is asked for."""

    class Grounds(dict):
        def __missing__(self, name):
            self[name] = Fixture(name, base, session.scratch, session.server)
            return self[name]

    return Grounds()


@pytest.fixture
def copied(session, base):
    """A copy of what every operation finds."""
    return shutil.copytree(base, session.new())
