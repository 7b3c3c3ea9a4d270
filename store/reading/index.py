"""Where the units of a run lie: all that reading needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actlas.store.errors import IncompleteRun
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.schema import Unit, checksum
from actlas.store.io.safe_open import uncollected


class _Paths(dict[str, Path]):
    """Name of a shard → its path, made once: a run of many units asks often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, file: str) -> Path:
        path = self[file] = self._folder / file
        return path


class RunIndex:
    """The units of one run, the records that say where they lie, and the index of its baseline.

    folder: of the shards. blocks: dim → numbers of its layers or depths, from 0 on where not given.
    """

    def __init__(
        self,
        run: str,
        name: str,
        folder: Path,
        units: tuple[Unit, ...],
        records: Sequence[CommitRecord],
        baseline: Callable[[], RunIndex | None] = lambda: None,
        blocks: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.run, self.name, self.folder = run, name, folder
        self.units, self.records = units, tuple(records)
        self._baseline, self._blocks = baseline, blocks or {}
        self._paths = _Paths(folder)

    @cached_property
    def baseline(self) -> RunIndex | None:
        """That of a variant's baseline; None where it is not in the store. Raises DamagedStore."""
        return self._baseline()

    @cached_property
    @uncollected()
    def _locations(self) -> dict[int, list[UnitLocation]]:
        units: dict[int, list[UnitLocation]] = {}
        for record in self.records:
            for index in record.present:
                location = UnitLocation(record, index)
                units.setdefault(record.units[index].number, []).append(location)
        return units

    def locations(self, unit: Unit) -> Sequence[UnitLocation]:
        """Return all that make sites of a unit part of the run."""
        return self._locations.get(unit.number, ())

    def any_location(self, unit: Unit) -> UnitLocation:
        """Return one of them, for labels; raises IncompleteRun where there is none."""
        found = self._locations.get(unit.number)
        if not found:
            raise IncompleteRun(
                f"run {self.name} lacks unit {unit.number}: run its `actlas extract` command again"
            )
        return found[0]

    def location(self, unit: Unit, site: str) -> UnitLocation:
        """Return which has ``site`` of a unit that has it."""
        found = self._locations[unit.number]
        return found[0] if len(found) == 1 else next(each for each in found if site in each.holds)

    def own_locations(self, unit: Unit, site: str) -> Iterator[UnitLocation]:
        """Yield which have own blocks of ``site`` of a unit."""
        return (each for each in self.locations(unit) if site in each.record.sites)

    def held(self, unit: Unit) -> frozenset[str]:
        """Return the sites that a unit has."""
        return frozenset().union(*(each.holds for each in self.locations(unit)))

    @cached_property
    def known(self) -> frozenset[str]:
        """Sites that some unit has."""
        return frozenset().union(*(work[1] for each in self.records for work in each.covers))

    @cached_property
    @uncollected()
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has."""
        held = {self.held(unit) for unit in self.units}
        return tuple(sorted(frozenset.intersection(*held))) if held else ()

    def path(self, where: CommitRecord | UnitLocation) -> Path:
        """Return the path of a shard."""
        return self._paths[where.file]

    def block_numbers(self, dim: str, blocks: int) -> npt.NDArray[np.int64]:
        """Return the layers, or depths, of a site's ``blocks``."""
        return np.array(self._blocks.get(dim, range(blocks)))

    @cached_property
    def digest(self) -> str:
        """What the lazy arrays of this run are named after.

        It is a digest of all files and checksums that they read.
        """
        parts = []
        for each in self.records:
            place = (each.file, each.size, each.sites, each.metadata_checksum)
            parts.append(repr((*place, each.pools["shared"], each.name, sorted(each.dropped))))
        below = self.baseline.digest if self.baseline else ""
        return checksum("\n".join(parts).encode()) + below


def names_of(sites: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of sites; one may be given alone."""
    return (sites,) if isinstance(sites, str) else tuple(sites)
