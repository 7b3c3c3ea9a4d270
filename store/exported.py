"""An exported file in place of a run: a ``Run`` whose units all lie in that file.

The file is read by its record alone, never through HDF5: links, external storage or virtual datasets in it lead nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.store.checking import Checked, Rests, check_commit
from actlas.store.errors import DamagedStore, UsageError, unknown
from actlas.store.export_record import places, read_record
from actlas.store.labels import SENTENCE_IN_RUN
from actlas.store.run import Run, names_of
from actlas.store.schema import Commit, Json, checksum

WARNING = "do not open it by other means"
MOST_VARIABLES = 10_000  # in an HDF5 part that is looked through


class Exported(Run):
    """The export at ``path``; raises UsageError where that is none, DamagedStore where its record is not sound."""

    def __init__(self, path: Path) -> None:
        self.file = path
        self.header, size = read_record(path)
        try:
            self.units, self.blocks, several = places(self.header)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DamagedStore(f"{path} has a record that is not sound ({error}): export it again") from error
        self.folder = path.parent
        self.names = (path.name,)
        self.id: str = self.header["run"]
        self.specification = self.header["specification"]
        self.description = self.header["description"]
        self.excerpt: Json = self.header["excerpt"]
        bulk = (*several.bulk, (several.record.size, size))  # the record has a checksum of its own
        devices = {"device": str(self.header.get("device", "?"))}
        self.holdings = self.commits = tuple(
            Commit(self.id, unit, path.name, size, several.sites(i), several.labels(i), several.record.rest, devices, bulk=bulk)
            for i, unit in enumerate(self.units)
        )

    @property
    def limits(self) -> Json:
        """The excerpt of the run that was exported."""
        return {"export": self.excerpt}

    @property
    def sentences_id(self) -> str:
        """That of the run, unless sentences were left out before others: these have other numbers here."""
        numbers = self.labels.columns.get(SENTENCE_IN_RUN)
        of_run = super().sentences_id
        if numbers is None or np.array_equal(numbers, np.arange(len(numbers))):
            return of_run
        return f"{of_run} {checksum(numbers.tobytes())}"

    def path(self, holding: object) -> Path:
        """Return the file."""
        return self.file

    def refresh(self) -> None:
        """Do nothing: an export does not change."""

    def require(self, sites: str | Iterable[str]) -> None:
        """Raise UsageError for a site that was not exported."""
        for site in names_of(sites):
            if site not in self.sites:
                raise UsageError(f"{self.file} was exported without it: {unknown('site', site, self.sites)}")

    def block_numbers(self, dim: str, blocks: int) -> npt.NDArray[np.int64]:
        """Return the layers, or depths, that were exported."""
        return np.array(self.blocks[dim])


def verify_export(exported: Exported) -> Iterator[Checked]:
    """Check every byte of an export against its checksums, and its HDF5 part for what would lead readers elsewhere."""
    rests: Rests = {}
    structure, told = list(_led_astray(exported)), set[str]()
    for number, commit in enumerate(exported.commits):
        nbytes, damages = check_commit(commit, exported.file, "export it again", rests)
        problems = tuple(problem for problem in (*structure, *damages) if problem not in told)  # units share their labels
        told.update(problems)
        yield Checked(f"{exported.file.name} unit {number}", nbytes, problems)


def _led_astray(exported: Exported) -> Iterator[str]:
    """Open the HDF5 part and yield what is no plain variable of this very file, or lies elsewhere than the record says."""
    import h5py

    places = {name: site.offset for name, site in exported.commits[0].sites.items()}
    try:
        with h5py.File(exported.file, "r") as file:
            if len(file) > MOST_VARIABLES:
                yield f"{exported.file} has {len(file)} variables, wanted {MOST_VARIABLES} at most: {WARNING}"
                return
            for name in file:
                if not _plain(file, name, places.get(name)):
                    yield f"{exported.file}: {name} is a link, or no variable of this file as its record tells of it: {WARNING}"
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        yield f"{exported.file}: its HDF5 part cannot be read ({error}): export it again"


def _plain(file: Any, name: str, offset: int | None) -> bool:
    """Whether ``name`` is a variable of the file itself, at ``offset`` where the record has one."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return False
    variable = file[name]
    own = isinstance(variable, h5py.Dataset) and not variable.is_virtual and not variable.external
    return own and offset in (None, variable.id.get_offset())
