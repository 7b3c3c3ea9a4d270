"""The files of label records, and what tests ask of them."""

import numpy as np
import pytest

from actlas.store import DamagedStore, Run
from actlas.store.maintenance.verify import verify
from tests.store.making import Content

SMALL = Content(units=((1, 2), (1,)), dtypes={"nll": "float32"})


KINDS = np.array(["a", "é", "c"], dtype=object)


def files(run, number=2):
    """Return record and values of a version."""
    return [next((run.folder / "labels").glob(f"{number:08d}-*.{kind}")) for kind in ("json", "h5")]


def problems(run):
    return [problem for item in verify(Run(run.folder)) for problem in item.problems]


def refused(run, match="."):
    """Assert that no label is read, that an error says so in a line, and that verify finds it."""
    for check in (True, False):
        with pytest.raises(DamagedStore, match=match) as found:
            Run(run.folder).dataset(check=check)
        assert len(str(found.value).splitlines()) == 1
        assert len(str(found.value)) < 600
    assert problems(run)


def at(*keys, value):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change
