"""A ground for harm, and the servers that do it."""

import pytest

from actlas.scripts.bench.ground import Ground, Victim


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    """One small run of the demo model, extracted uninterrupted, and a server that hurts others like it."""
    scratch = tmp_path_factory.mktemp("faults")
    with Victim(scratch) as victim:
        yield Ground(scratch, victim)
