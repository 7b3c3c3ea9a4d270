"""What lies below a folder after a trial.

Every number that a reader would get, by the public ways of reading it.

A *thing* is what a user has: a unit's site, the labels of a run, a name, a result, a figure, an
export, a report. Each that is whole has a digest of its values; each that cannot be read as it is
has a reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import xml.etree.ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from actlas.store.catalog import Store
from actlas.store.errors import ActlasError, IncompleteRun, UsageError
from actlas.store.readouts.verify import readout_paths
from actlas.store.remote.listing import INDEX

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.runs.run import Run

STORE = "store"  # folder of the store below the root of a trial
RANDOM_PART = re.compile(r"[0-9a-f]{8,}")


@dataclass
class State:
    """Things that are whole, thing → digest.

    Things that are not, thing → why; files that should not be there.
    """

    whole: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # outside the store
    garbage: list[str] = field(default_factory=list)  # in the store, for `actlas gc`

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def note(self, thing: str, digest: Callable[[], str]) -> None:
        """Add a thing, whole or broken."""
        try:
            self.whole[thing] = digest()
        except Exception as error:
            self.broken[thing] = f"{type(error).__name__}: {error}"


def state(root: Path) -> State:
    """Look at all that lies below ``root``."""
    found = State()
    if (root / STORE).exists():
        _look_at_store(root / STORE, found)
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if place.parts[0] == STORE or path.is_dir():
            continue
        found.files.append(RANDOM_PART.sub("#", place.as_posix()))
        if path.suffix in FILES and not any(part.startswith(".") for part in place.parts):
            found.note(f"file {place}", lambda path=path: FILES[path.suffix](path))  # type: ignore[misc]
    here = f"{root}{os.sep}"  # what is said of a copy is compared with what is said of the original
    found.broken = {
        thing.replace(here, ""): why.replace(here, "") for thing, why in found.broken.items()
    }
    return found


def _look_at_store(path: Path, found: State) -> None:
    try:
        store = Store(path)
        runs, damaged = store.survey()
    except UsageError:
        return  # none yet
    except ActlasError as error:
        found.broken["store"] = str(error)
        return
    found.broken.update({f"run {name}": str(error) for name, error in damaged.items()})
    if (path / INDEX).exists():
        found.note("index", lambda: digest_of([(path / INDEX).read_bytes()]))
    for run in runs:
        for name in run.names:
            found.whole[f"name {name}"] = run.id
        for thing, digest in _of_run(run):
            found.note(thing, digest)
    for readout in readout_paths(path):
        found.note(f"readout {readout.name}", lambda at=readout: digest_of([at.read_bytes()]))  # type: ignore[misc]
    status, said, errors = run_here("verify", "--store", str(path), "--json")
    if status:
        problems = json.loads(said)["problems"] if said.startswith("{") else [errors]
        found.broken.update({f"verify: {problem}": problem for problem in problems})
    status, said, errors = run_here("gc", "--dry-run", "--json", "--store", str(path))
    found.garbage = garbage(json.loads(said)) if not status else [errors]


def garbage(record: Mapping[str, Any]) -> list[str]:
    """Return what a dry run of ``actlas gc`` would remove."""
    listed = [each for value in record.values() if isinstance(value, list) for each in value]
    return [RANDOM_PART.sub("#", str(each)) for each in listed]


def _of_run(run: Run) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the things of a run, and how to read each."""
    for unit in run.units:
        for site in sorted(run.held(unit.number)):

            def values(unit: Any = unit, site: str = site) -> str:
                numbers = sorted(run.index.held(unit)[site])
                return digest_of(run.rows(unit, site, number, check=True) for number in numbers)

            yield f"unit {run.id}/{unit.number}/{site}", values
    if run.units and run.sites:
        yield f"labels {run.id}", lambda: labels_digest(run)


def labels_digest(run: Run) -> str:
    """Return a digest of all labels of a run; "incomplete" where some are not there yet."""
    try:
        view = run.dataset(run.sites[:1], check=True)
    except IncompleteRun:
        return "incomplete"
    return coords_digest(view)


def coords_digest(view: xr.Dataset) -> str:
    """Return a digest of the coordinates of a dataset."""
    return digest_of(
        part for name in sorted(map(str, view.coords)) for part in (name, view.coords[name].values)
    )


def dataset_digest(data: xr.Dataset) -> str:
    """Return a digest of all variables of a dataset, and of what it says that it is of."""
    parts = [
        part for name in sorted(map(str, data.variables)) for part in (name, data[name].values)
    ]
    return digest_of(
        [*parts, *(str(data.attrs.get(name)) for name in ("stage", "runs", "options"))]
    )


def digest_of(parts: Any) -> str:
    """Return a digest of arrays and texts, NaN and objects among them."""
    digest = xxhash.xxh3_64()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part.tolist() if isinstance(part, np.ndarray) else part).encode())
    return digest.hexdigest()


def result_digest(path: Path) -> str:
    """Return a digest of the values of a result, read with plain h5py.

    The digest covers what it says that it is of.
    """
    import h5py

    parts: list[Any] = []
    with h5py.File(path) as file:
        parts += [str(file.attrs.get(name)) for name in ("stage", "runs", "options")]
        for name in sorted(file):
            parts += [name, file[name][()]]
    return digest_of(parts)


def export_digest(path: Path) -> str:
    """Return a digest of the values of an export; raises ActlasError where it does not verify."""
    from actlas.scripts.terminal.options import open_run

    status, _, errors = run_here("verify", str(path))
    if status:
        raise ActlasError(errors)
    return dataset_digest(open_run(str(path), path.parent).dataset(check=True).compute())


def _drawing(path: Path) -> str:
    xml.etree.ElementTree.parse(path)
    return "drawn"


def _picture(path: Path) -> str:
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG") or b"IEND" not in content[-16:]:
        raise ValueError("no whole PNG")
    return "drawn"


def _page(path: Path) -> str:
    if "</html>" not in path.read_text()[-200:]:  # behind it stands a seal
        raise ValueError("no whole page")
    return "written"


def _record(path: Path) -> str:
    json.loads(path.read_bytes())
    return "written"


def _tensors(path: Path) -> str:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
    if max(ends) != len(content) - start:
        raise ValueError(f"{len(content) - start} bytes of tensors, expected {max(ends)}")
    return digest_of([content])


FILES: dict[str, Callable[[Path], str]] = {
    ".nc": result_digest,
    ".h5": export_digest,
    ".svg": _drawing,
    ".png": _picture,
    ".html": _page,
    ".json": _record,
    ".csv": lambda path: digest_of([path.read_text()]),
    ".safetensors": _tensors,
    ".toml": lambda path: digest_of([path.read_text()]),
}


def run_here(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit status, output and errors."""
    from actlas.scripts.cli import main

    output, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            main(list(arguments), prog_name="actlas")
    except SystemExit as ending:
        return int(ending.code or 0), output.getvalue(), errors.getvalue()
    return 0, output.getvalue(), errors.getvalue()
