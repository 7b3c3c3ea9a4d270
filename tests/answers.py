"""Results in tests.

Found by their stage, as their names follow from what they are of; and sealed again after a change.
"""

import re

import xarray as xr

from actlas.analysis.results.files import add_result
from actlas.analysis.results.seals import read_seal
from actlas.store.io.replacing import replacing


def answer(folder, stage):
    """Return the path of the one result of ``stage`` in ``folder``."""
    found = [
        path for path in folder.glob("*.nc") if re.fullmatch(rf"{stage}(-[a-z0-9-]+)?", path.stem)
    ]
    assert len(found) == 1, found
    return found[0]


def loaded(folder, stage):
    """Return the numbers of the one result of ``stage`` in ``folder``."""
    with xr.open_dataset(answer(folder, stage), engine="h5netcdf") as opened:
        return opened.load()


def endings(folder, stage):
    """Return how names of files in ``folder`` go on after that of the one result of ``stage``."""
    stem = answer(folder, stage).stem
    names = {path.name for path in folder.iterdir()}
    assert all(name.startswith(stem) for name in names), names
    return {name.removeprefix(stem) for name in names}


def sealed_again(path, change=lambda result: result, *, name=None, files=None):
    """Seal a result as actlas would after ``change`` of its numbers.

    And its figures as they are now.
    """
    seal = read_seal(path)
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        result = change(opened.load())
    with replacing(path.parent) as new:
        beside = {each.name: new.add(each.name, [each.read_bytes()]) for each, _ in seal.beside}
        add_result(
            new, name or path.name, result, seal.question, beside if files is None else files
        )
