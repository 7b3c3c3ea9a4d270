"""Stored runs of tiny models with their readouts, each made once."""

import pytest

from tests.families.tiny import save_tiny
from tests.tiny_runs.readouts import heads_of, neurons_of, readout_of
from tests.tiny_runs.storing import stored

#: whose heads are followed by a norm
POST_NORMED = ("gemma2", "gemma3", "olmo2")


class Tiny:
    """A run of every site, what the oracle says of it, its readout."""

    def __init__(self, root, name):
        self.name, self.folder = name, save_tiny(root / "model", name)
        self.store = root / "store"
        self.run, self.every = stored(self.store, self.folder)
        self.readout = readout_of(self.store, self.folder)
        self.neurons = neurons_of(self.store, self.folder)
        normed = name.startswith(POST_NORMED)
        self.heads = None if normed else heads_of(self.store, self.folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = Tiny(tmp_path_factory.mktemp(name), name)
        return made[name]

    return of
