"""Where the units of a run lie: all that reading needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from actlas.store.errors import IncompleteRun, UsageError, quoted
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.parts import WHOLE, Parts, SitePart, together, without
from actlas.store.format.schema import Unit, checksum
from actlas.store.io.safe_open import uncollected

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from actlas.store.reading.kept import Selections

ALL = "all"  # how the selection of all tokens is called
NOTHING: Mapping[str, frozenset[int]] = {}  # one object: units are told apart by what they hold


class _Paths(dict[str, Path]):
    """Name of a shard → its path, made once: a run of many units asks often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, file: str) -> Path:
        path = self[file] = self._folder / file
        return path


class RunIndex:
    """The units of one run, the records that say where they lie, and the index of its baseline.

    folder: of the shards. kept: digest of the tokens that are read, all where it is WHOLE: what has
    rows of fewer is not there for this index. ``of`` returns the one that sites are read by.
    """

    def __init__(
        self,
        run: str,
        name: str,
        folder: Path,
        units: tuple[Unit, ...],
        records: Sequence[CommitRecord],
        baseline: Callable[[], RunIndex | None] = lambda: None,
        kept: str = WHOLE,
    ) -> None:
        self.run, self.name, self.folder = run, name, folder
        self.units, self.records = units, tuple(records)
        self._baseline = baseline
        self.kept = kept
        self._paths = _Paths(folder)
        self._unions: dict[tuple[Parts, ...], Mapping[str, frozenset[int]]] = {}
        self._views = {kept: self}

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

    @cached_property
    def selections(self) -> Selections:
        """The tokens that are kept, where not all are."""
        from actlas.store.reading.kept import Selections  # and with it numpy

        return Selections(self.records, self.path)

    @property
    def has_selections(self) -> bool:
        """Whether some file has rows of some tokens alone."""
        return any(record.kept for record in self.records)

    @cached_property
    def readable(self) -> frozenset[str]:
        """Selections whose rows include those that are read."""
        return self.selections.wider(self.kept) if self.kept != WHOLE else frozenset({WHOLE})

    @property
    def kept_text(self) -> str:
        """How the tokens that are read were asked for, ``all`` where they are all."""
        return ALL if self.kept == WHOLE else self.selections.known[self.kept].text

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many rows of each unit are read."""
        if self.kept == WHOLE:
            return tuple(unit.tokens for unit in self.units)
        return tuple(int(self.mask(unit).sum()) for unit in self.units)

    def mask(self, unit: Unit) -> npt.NDArray[np.bool_]:
        """Return which tokens of a unit are read, (token,); raises DamagedStore."""
        return self.selections.mask(self.kept, unit)

    def view(self, kept: str) -> RunIndex:
        """Return the index by which the tokens of a selection are read."""
        if kept not in self._views:
            made = RunIndex(
                self.run, self.name, self.folder, self.units, self.records, self._baseline, kept
            )
            made._views = self._views
            made.__dict__ |= {"_locations": self._locations, "selections": self.selections}
            self._views[kept] = made
        return self._views[kept]

    def of(self, sites: Iterable[str], tokens: str | None = None) -> RunIndex:
        """Return the index by which ``sites`` are read together.

        It is of the most tokens that all of them have: all where they are stored, else those of one
        selection, never of several. tokens: how that was asked for, or ``all``. Raises UsageError
        for a selection that there is not.
        """
        if not self.has_selections and tokens in (None, ALL):
            return self
        named = {ALL: WHOLE, **{each.text: key for key, each in self.selections.known.items()}}
        if tokens is not None:
            if tokens not in named:
                kept = ", ".join(map(quoted, named))
                raise UsageError(f"run {self.name} has no selection {quoted(tokens)}: {kept}")
            return self.view(named[tokens])
        wanted = tuple(sites)
        for kept in (WHOLE, *self.selections.widest_first):
            found = self.view(kept)
            if all(site in found.numbers for site in wanted):
                return found
        return self.view(WHOLE)

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
        """Return site → layers or depths of it that a unit has, 0 where the site has neither.

        Of a selection of tokens a unit has nothing where no file says which these are.
        """
        if self.kept != WHOLE and unit.number not in self.selections.masks(self.kept):
            return NOTHING
        kinds = tuple(each.holds for each in self.locations(unit))
        if kinds not in self._unions:  # most units of a run have the same
            every = (part for parts in kinds for part in parts if part.kept in self.readable)
            self._unions[kinds] = together(every)
        return self._unions[kinds]

    @cached_property
    def known(self) -> Mapping[str, frozenset[int]]:
        """Site → layers or depths of it that some unit has, of any tokens."""
        return together(self._known_parts)

    @cached_property
    def _known_parts(self) -> frozenset[SitePart]:
        works = frozenset().union(*(each.covers for each in self.records))
        return frozenset(part for parts in {work[1] for work in works} for part in parts)

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

    @cached_property
    def readable_numbers(self) -> Mapping[str, tuple[int, ...]]:
        """Site → layers or depths of it that are read where it is read alone."""
        found: dict[str, tuple[int, ...]] = {}
        for site in self.known:
            numbers = self.of((site,)).numbers.get(site)
            if numbers:
                found[site] = numbers
        return found

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has, at some layer or depth that is the same in all."""
        return tuple(sorted(self.readable_numbers if self.has_selections else self.numbers))

    def whole(self, sites: Iterable[str]) -> list[SitePart]:
        """Return ``sites`` with all layers or depths that some unit has, of the same tokens."""
        found = []
        for site in sites:
            kept = sorted({part.kept for part in self._known_parts if part.site == site})
            for each in kept or (WHOLE,):
                held = (part for part in self._known_parts if part.kept == each)
                numbers = together(held).get(site, frozenset({0}))
                found.append(SitePart(site, tuple(sorted(numbers)), each))
        return found

    def missing_parts(self, parts: Iterable[SitePart]) -> list[tuple[Unit, tuple[SitePart, ...]]]:
        """Return the units that lack some of ``parts``, each with what it lacks.

        Nothing is missing of some tokens where all units have all tokens.
        """
        wanted = tuple(parts)
        by_kept: dict[str, list[SitePart]] = {}
        for part in wanted:
            by_kept.setdefault(part.kept, []).append(part)
        missing_of: dict[int, tuple[SitePart, ...]] = {}
        for kept, some in by_kept.items():
            left: Iterable[SitePart] = some
            if kept != WHOLE:
                missed = {part.site: set[int]() for part in some}
                for _, missing in self.view(WHOLE)._missing_here(some):
                    for part in missing:
                        missed[part.site].update(part.numbers)
                there = {part.site: frozenset(part.numbers) - missed[part.site] for part in some}
                left = without(some, there)
            for unit, missing in self.view(kept)._missing_here(left):
                missing_of[unit.number] = (*missing_of.get(unit.number, ()), *missing)
        return [(unit, missing_of[unit.number]) for unit in self.units if unit.number in missing_of]

    def lacks(self, unit: Unit, parts: Iterable[SitePart]) -> bool:
        """Whether a unit lacks some of ``parts``."""
        held = ((part, self.view(part.kept).held(unit)) for part in parts)
        return any(without([part], here) for part, here in held)

    @uncollected()
    def _missing_here(self, parts: Iterable[SitePart]) -> list[tuple[Unit, tuple[SitePart, ...]]]:
        """Return the units that lack some of ``parts`` of the tokens that are read."""
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
