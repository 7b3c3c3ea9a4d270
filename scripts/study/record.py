"""``study.json``: which results of a study are made, and whose a folder is; sealed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlas.scripts.study.tables import filled
from actlas.store.errors import ActlasError, DamagedStore, LaterRecord, UsageError
from actlas.store.format.schema import FORMAT_VERSION, Json, seal, unseal
from actlas.store.io.replacing import replacing
from actlas.store.io.safe_open import read_input

RECORD = "study.json"
RECORD_FORMAT = "actlas-study"
LARGEST = 64 << 20  # bytes; a study of 100 000 variants needs less
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")  # of a run or an analysis: a folder's too
ID = re.compile(r"[0-9a-f]{16}")
#: of which a record cut or altered anywhere still has some
OWN_WORDS = (
    b'"analyses":',
    b'"checksum":',
    RECORD_FORMAT.encode(),
    b'"runs":',
    b'"study":',
    b'"version":',
)
FEWEST_OWN = 2
BEGINNING = b'{"analyses":'


class DamagedRecord(ActlasError):
    """A study's record was altered or cut short; the message names it."""


@dataclass(frozen=True)
class _Whole:
    """The record as it is kept; runs and analyses are lists, as their order counts."""

    format: str
    version: int
    title: str
    study: str  # name of the study file
    file: str  # where it lies, absolute; demo:… where it comes with actlas
    beside: str  # the way to it from the folder of the record
    text: str
    store: str
    runs: tuple[dict[str, object], ...]
    analyses: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class _Verified:
    commits: str
    checked: int
    bytes: int
    when: str


@dataclass(frozen=True)
class _Run:
    name: str
    input: dict[str, object]
    id: str
    variants: dict[str, object]
    verified: dict[str, object]


@dataclass(frozen=True)
class _Analysis:
    name: str
    stage: str
    run: str
    summary: str
    holds: bool
    seal: str  # of its result, which has the checksums of all else


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of an earlier call, an empty one where there is none.

    Raises DamagedRecord for one that was altered, UsageError for the file of something else.
    """
    try:
        content = read_input(path, LARGEST)
    except FileNotFoundError:
        return empty_record()
    try:
        record = unseal(content, str(path), RECORD_FORMAT)
        _check(record, str(path))
    except LaterRecord as error:
        raise UsageError(f"{error}, or give another --out") from error
    except (DamagedStore, UsageError) as error:
        # a damaged record is ours to replace, a stranger's file is not: its words say which it is
        own = (
            not content.strip()
            or content.startswith(BEGINNING)
            or sum(word in content for word in OWN_WORDS) >= FEWEST_OWN
        )
        if not own:
            raise UsageError(
                f"{path} is not a study's record: remove it, or give another --out"
            ) from error
        raise DamagedRecord(f"{path} was altered or cut short: run the study again") from error
    for part in ("runs", "analyses"):
        record[part] = {each.pop("name"): each for each in record[part]}
    return record


def empty_record() -> dict[str, Any]:
    """Return the record of a study of which nothing is done."""
    return {"format": RECORD_FORMAT, "version": FORMAT_VERSION, "runs": {}, "analyses": {}}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record, in place of an older one as a whole."""
    kept: Json = dict(record)
    # such as {"analyses": [{"name": "profile", "stage": "variance", "run": "her", …}],
    # "runs": [{"name": "her", "id": "0f…", "variants": {…}, …}], …}
    for part in ("runs", "analyses"):
        kept[part] = [{"name": name, **each} for name, each in record[part].items()]
    with replacing(path.parent) as files:
        files.add(path.name, [seal(kept)])


def _check(record: Json, where: str) -> None:
    """Raise UsageError for a key that is missing, unknown or of another type."""
    whole = filled(_Whole, record, where)
    names = []
    for each in whole.runs:
        run = filled(_Run, each, where)
        filled(_Verified, run.verified, where)
        if not all(
            isinstance(each, str) and ID.fullmatch(each)
            for each in (run.id, *run.variants.values())
        ):
            raise UsageError(f"{where}: a run's id is none")
        names.append(("run", run.name))
    for each in whole.analyses:
        analysis = filled(_Analysis, each, where)
        names.append(("analysis", analysis.name))
        names.append(("stage", analysis.stage))
    if not all(NAME.fullmatch(name) for _, name in names):
        raise UsageError(f"{where}: a name is none")
