"""``run.json``: what a run is, for as long as it exists; its bytes, and what they say, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actlas.store.errors import DamagedStore, StoreError
from actlas.store.format.schema import FORMAT_VERSION, Json, Unit, identity, seal, unseal
from actlas.store.format.validation import check_units
from actlas.store.io.safe_open import LARGEST_RECORD, read_record, uncollected

FILE = "run.json"
FORMAT = "actlas-run"


@dataclass(frozen=True)
class RunRecord:
    """What a run's identity is of, what a reader wants to know beside it, and its units."""

    specification: Json
    description: Json
    units: tuple[Unit, ...]

    @property
    def id(self) -> str:
        """The run's id."""
        return identity(self.specification)


def run_record_bytes(record: RunRecord) -> bytes:
    """Return the content of ``run.json``; raises StoreError for more units than it can have."""
    content = seal(
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "specification": record.specification,
            "description": record.description,
            "units": [
                [unit.number, unit.first, unit.sentences, unit.tokens] for unit in record.units
            ],
        }
    )
    if len(content) > LARGEST_RECORD:
        raise StoreError(
            f"{len(record.units)} units are more than a run can have: give a larger --unit-tokens"
        )
    return content


@uncollected()
def read_run_record(folder: Path) -> RunRecord:
    """Return the record of the run in ``folder``.

    Raises DamagedStore where it is missing, unsound or of another run.
    """
    path = folder / FILE
    try:
        content = unseal(read_record(path), str(path), FORMAT)
    except FileNotFoundError as error:
        raise DamagedStore(
            f"{path} is missing: restore it from a copy, or extract again"
        ) from error
    try:
        units = tuple(Unit(*unit) for unit in content["units"])
        check_units(units)
        record = RunRecord(dict(content["specification"]), dict(content["description"]), units)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedStore(
            f"{path} lacks a field or has a wrong one ({error}): restore it from a copy"
        ) from error
    if record.id != folder.name:
        raise DamagedStore(
            f"{path} is of run {record.id}, not of {folder.name}: restore it from a copy"
        )
    return record
