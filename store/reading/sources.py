"""Where the sites of a run lie, unit by unit.

In its own shards, or in those of the baseline that a variant shares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore
from actlas.store.format.commit_record import CommitRecord, UnitLocation, Work
from actlas.store.format.parts import WHOLE, together
from actlas.store.format.schema import SharedSite, SiteLayout, Unit
from actlas.store.reading.blocks import BlockSource, find_source, read_block
from actlas.store.reading.index import RunIndex
from actlas.store.reading.kept import taken

REMEDY = "`actlas verify --repair` drops what needs them, and says how to make it again"
AWAY = "restore it, or run its `actlas extract` command or that of this run, which makes it again"
AGAIN = "remove this run (`actlas rm`) and extract it again"
Sources = tuple[BlockSource, ...]


@dataclass(frozen=True)
class OwnSources(Sequence[Sources]):
    """One site of units that share nothing.

    Where each lies is worked out when it is asked for, as a run may have 10⁵ units.
    """

    site: str
    records: tuple[CommitRecord, ...]
    paths: tuple[Path, ...]  # of the records' files
    record: npt.NDArray[np.int64]  # of each unit, its index in ``records``
    member: npt.NDArray[np.int64]  # of each unit, its index in the record

    def __len__(self) -> int:
        return len(self.record)

    @overload
    def __getitem__(self, index: int) -> Sources: ...
    @overload
    def __getitem__(self, index: slice) -> OwnSources: ...
    def __getitem__(self, index: int | slice) -> Sources | OwnSources:
        """Return what a unit lies in: one source."""
        if isinstance(index, slice):
            return replace(self, record=self.record[index], member=self.member[index])
        number = int(self.record[index])
        location = UnitLocation(self.records[number], int(self.member[index]))
        return (_own_source(self.paths[number], location, self.site),)

    @property
    def kinds(self) -> list[Sources]:
        """Sources of one unit of each file.

        One is enough, because units of one file differ in their tokens alone.
        """
        _, first = np.unique(self.record, return_index=True)
        return [self[int(index)] for index in first]


def site_sources(run: RunIndex, site: str) -> Sequence[Sources]:
    """Return the sources of a complete site, of all units in order.

    Raises DamagedStore as ``sources_of`` does.
    """
    numbers, locations = frozenset(run.numbers[site]), []
    if run.has_selections:
        return tuple(sources_of(run, unit, site) for unit in run.units)
    for unit in run.units:
        location = next(_with_all(run.locations(unit), site, numbers), None)
        if location is None or site in location.record.sharing:
            return tuple(sources_of(run, unit, site) for unit in run.units)
        locations.append(location)
    records = {id(each.record): each.record for each in locations}
    order = {key: number for number, key in enumerate(records)}
    return OwnSources(
        site,
        tuple(records.values()),
        tuple(run.path(record) for record in records.values()),
        np.array([order[id(each.record)] for each in locations]),
        np.array([each.member for each in locations]),
    )


def _with_all(
    locations: Iterable[UnitLocation], site: str, numbers: frozenset[int]
) -> Iterator[UnitLocation]:
    """Yield which have blocks of their own for all of ``numbers`` of a site."""
    for location in locations:
        stored = location.record.sites.get(site)
        if stored and stored.layout.places.keys() >= numbers:
            yield location


def sources_of(run: RunIndex, unit: Unit, site: str) -> Sources:
    """Return where a site of a unit lies; several shards may have layers or depths of it.

    What a variant shares with its baseline comes first, then what is its own.

    Raises DamagedStore where the baseline no longer has the blocks that are shared.
    """
    found: list[BlockSource] = []
    known: set[int] = set()
    for location in _readable(run, unit):
        shared = location.shared.get(site)
        here = together(location.holds).get(site, frozenset())
        if here <= known:  # another shard has the same
            continue
        known |= here
        if shared is not None:
            baseline = shared_sources(run.name, run.baseline, unit, site, shared)
            found += [_of_tokens(run, run.baseline, unit, each) for each in baseline]
        if site in location.record.sites:
            own = _own_source(run.path(location), location, site)
            found.append(_of_tokens(run, run, unit, own))
    return tuple(found)


def _readable(run: RunIndex, unit: Unit) -> Sequence[UnitLocation]:
    """Return what of a unit has the tokens that are read, what has no others first."""
    locations = run.locations(unit)
    if not run.has_selections:
        return locations
    found = [each for each in locations if _kept(each) in run.readable]
    return sorted(found, key=lambda each: _kept(each) != run.kept)


def _kept(location: UnitLocation) -> str:
    return location.record.kept.digest if location.record.kept else WHOLE


def _of_tokens(
    run: RunIndex, home: RunIndex | None, unit: Unit, source: BlockSource
) -> BlockSource:
    """Return ``source``, which lies in the run ``home``, with the rows that ``run`` reads."""
    if source.kept == run.kept or home is None:
        return source
    rows = taken(run.mask(unit), home.selections.mask(source.kept, unit))
    return replace(source, rows=rows)


def rows(
    run: RunIndex, unit: Unit, site: str, number: int, *, check: bool = False
) -> npt.NDArray[np.float32]:
    """Return one block of a unit, of the layer or depth ``number``, (token, …), read now.

    Raises DamagedStore as a view does.
    """
    return read_block(find_source(sources_of(run, unit, site), number), number, check)


def layout_of(run: RunIndex, site: str) -> SiteLayout:
    """Return how the first unit holds ``site``; the others differ in their tokens alone."""
    layout = sources_of(run, run.units[0], site)[-1].stored.layout
    return layout.take(run.numbers[site])


def _own_source(path: Path, location: UnitLocation, site: str) -> BlockSource:
    stored = location.record.site(location.member, site)
    return BlockSource(path, location.size, stored, stored.layout.numbers, _kept(location))


def stranded(run: RunIndex, losing: Collection[Work] = ()) -> dict[Work, str]:
    """Return the units of a variant whose baseline no longer has what they share, and why.

    Each with its sites. losing: what the baseline has and is about to lose, which counts as lost.
    Records alone are compared, no block is read. None are known where records are unreadable or the
    whole baseline is away, which may come back, and of a run in other units than its baseline,
    which is to go as a whole.
    """
    found: dict[Work, str] = {}
    try:
        known = run.baseline is not None and run.baseline.units == run.units
    except DamagedStore:
        known = False
    for unit in run.units if known else ():
        for location in run.locations(unit):
            for site, shared in location.shared.items():
                try:
                    shared_sources(run.name, run.baseline, unit, site, shared, losing)
                except DamagedStore as error:
                    found.setdefault((unit.number, location.holds), str(error))
    return found


def shared_sources(
    name: str,
    baseline: RunIndex | None,
    unit: Unit,
    site: str,
    shared: SharedSite,
    losing: Collection[Work] = (),
) -> list[BlockSource]:
    """Return where the blocks lie that a unit of the run ``name`` shares with its baseline.

    Raises DamagedStore where the baseline is not there, or has other blocks or none but what it is
    ``losing``.
    """
    if baseline is None or baseline.run != shared.run:
        raise DamagedStore(
            f"run {name} needs blocks of its baseline {shared.run}, which is not there: {AWAY}"
        )
    if unit not in baseline.units:
        raise DamagedStore(
            f"run {name} was made in other units than its baseline {shared.run} has now: {AGAIN}"
        )
    left, found = dict(zip(shared.numbers, shared.checksums, strict=True)), []
    other: Path | None = None
    for location in baseline.own_locations(unit, site):
        if not left or (unit.number, location.holds) in losing:
            continue
        whole = _own_source(baseline.path(location), location, site)
        here = [number for number in left if number in whole.numbers]
        # of several, with rows of other tokens, those that are as they were
        numbers = tuple(number for number in here if whole.checksum(number) == left[number])
        other = other if len(numbers) == len(here) else whole.path
        left = {number: left[number] for number in left if number not in numbers}
        found += [replace(whole, numbers=numbers)] if numbers else []
    if left and other is not None:
        what = f"{site} than {other} has now"
        raise DamagedStore(f"run {name} was made with other values of {what}: {REMEDY}")
    if left:
        raise DamagedStore(
            f"run {name} needs {site} of unit {unit.number} of its baseline {shared.run}, which "
            "lacks it: "
            "run the baseline's `actlas extract` command again, then `actlas verify`"
        )
    return found
