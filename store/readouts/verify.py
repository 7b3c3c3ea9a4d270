"""Verification of readouts: every byte against its checksum, every file against its record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actlas.store.errors import DamagedStore, LaterRecord
from actlas.store.format.digest import metadata_checksum_of, span_checksum
from actlas.store.format.hdf5_check import plain_problems
from actlas.store.io.safe_open import listed, opened
from actlas.store.maintenance.checks import Checked
from actlas.store.readouts.record import FOLDER, NAME, REMEDY, read_readout

MOST_VARIABLES = 64


def readout_paths(store: Path) -> list[Path]:
    """Return the files of readouts; those that are named otherwise are ignored."""
    return [path for path in listed(store / FOLDER, ".h5") if NAME.fullmatch(path.name)]


def verify_readouts(store: Path) -> Iterator[Checked]:
    """Check every readout of a store."""
    for path in readout_paths(store):
        yield from readout_problems(path)


def readout_problems(path: Path) -> Iterator[Checked]:
    """Check one readout; reads every byte once."""
    try:
        record, size = read_readout(path)
        spans = [array.span for array in record.arrays.values()]
        with opened(path) as (descriptor, _):
            problems = [
                f"{path}: {name} was altered: {REMEDY}"
                for name, array in record.arrays.items()
                if span_checksum(descriptor, array.span) != array.checksum
            ]
            found = metadata_checksum_of(descriptor, record.size, spans)
            if found != record.metadata_checksum:
                problems.append(f"{path}: HDF5 records were altered: {REMEDY}")
        places = {name: array.offset for name, array in record.arrays.items()}
        for what in plain_problems(path, places, MOST_VARIABLES):
            problems.append(f"{path}: {what}: {REMEDY}")
    except FileNotFoundError:
        return  # removed meanwhile
    except OSError as error:
        yield Checked(path.name, 0, (f"{path} cannot be read ({error.strerror})",), "file")
        return
    except DamagedStore as error:
        yield Checked(path.name, 0, (str(error),), "file")
        return
    yield Checked(path.name, size, tuple(problems), "file")


def drop_damaged(store: Path) -> tuple[list[str], list[str]]:
    """Remove the readouts that are damaged, which their models make again.

    Return what was dropped, and what is left as it is: of a later version, or not readable.
    """
    dropped, left = [], []
    for path in readout_paths(store):
        problems = [each for checked in readout_problems(path) for each in checked.problems]
        if problems and is_damaged(path):
            path.unlink(missing_ok=True)
            dropped.append(f"dropped readout {path.name}: {REMEDY}")
        else:
            left += problems
    return dropped, left


def is_damaged(path: Path) -> bool:
    """Whether a readout may be replaced: damaged, and not of a later version of actlas."""
    try:
        read_readout(path)
    except LaterRecord:
        return False
    except OSError:
        return False  # what cannot be read may be whole
    except DamagedStore:
        return True
    return any(checked.problems for checked in readout_problems(path))
