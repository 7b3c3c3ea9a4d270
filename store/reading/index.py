"""Where the units of a run lie: all that reading needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from actlas.store.errors import IncompleteRun
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.parts import Parts, SitePart, together, without
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

    folder: of the shards.
    """

    def __init__(
        self,
        run: str,
        name: str,
        folder: Path,
        units: tuple[Unit, ...],
        records: Sequence[CommitRecord],
        baseline: Callable[[], RunIndex | None] = lambda: None,
    ) -> None:
        self.run, self.name, self.folder = run, name, folder
        self.units, self.records = units, tuple(records)
        self._baseline = baseline
        self._paths = _Paths(folder)
        self._unions: dict[tuple[Parts, ...], Mapping[str, frozenset[int]]] = {}

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

    def own_locations(self, unit: Unit, site: str) -> Iterator[UnitLocation]:
        """Yield which have own blocks of ``site`` of a unit."""
        return (each for each in self.locations(unit) if site in each.record.sites)

    def held(self, unit: Unit) -> Mapping[str, frozenset[int]]:
        """Return site → layers or depths of it that a unit has, 0 where the site has neither."""
        kinds = tuple(each.holds for each in self.locations(unit))
        if kinds not in self._unions:  # most units of a run have the same
            self._unions[kinds] = together(part for parts in kinds for part in parts)
        return self._unions[kinds]

    @cached_property
    def known(self) -> Mapping[str, frozenset[int]]:
        """Site → layers or depths of it that some unit has."""
        works = frozenset().union(*(each.covers for each in self.records))
        return together(part for parts in {work[1] for work in works} for part in parts)

    @cached_property
    @uncollected()
    def numbers(self) -> Mapping[str, tuple[int, ...]]:
        """Site → layers or depths of it that every unit has; 0 where the site has neither."""
        held = list({id(each): each for each in map(self.held, self.units)}.values())
        found: dict[str, tuple[int, ...]] = {}
        for site in held[0] if held else ():
            numbers = frozenset.intersection(*(each.get(site, frozenset()) for each in held))
            if numbers:
                found[site] = tuple(sorted(numbers))
        return found

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has, at some layer or depth that is the same in all."""
        return tuple(sorted(self.numbers))

    def whole(self, sites: Iterable[str]) -> list[SitePart]:
        """Return ``sites`` with all layers or depths that some unit has."""
        return [SitePart(site, tuple(sorted(self.known.get(site, (0,))))) for site in sites]

    @uncollected()
    def missing_parts(self, parts: Iterable[SitePart]) -> list[tuple[Unit, tuple[SitePart, ...]]]:
        """Return the units that lack some of ``parts``, each with what it lacks."""
        wanted, found = tuple(parts), []
        of_held: dict[int, tuple[SitePart, ...]] = {}  # most units have the same
        for unit in self.units:
            held = self.held(unit)
            if id(held) not in of_held:
                of_held[id(held)] = without(wanted, held)
            if of_held[id(held)]:
                found.append((unit, of_held[id(held)]))
        return found

    def path(self, where: CommitRecord | UnitLocation) -> Path:
        """Return the path of a shard."""
        return self._paths[where.file]

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
