"""Where the sites of a run lie, unit by unit: in its own shards, or in those of the baseline that a variant shares."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore
from actlas.store.format.schema import SharedSite, Unit
from actlas.store.reading.blocks import Piece
from actlas.store.reading.places import Place
from actlas.store.runs.joined import Holding, Work

if TYPE_CHECKING:
    from actlas.store.runs.run import Run

REMEDY = "`actlas verify --repair` drops what needs them, and says how to make it again"
AWAY = "restore it, or run its `actlas extract` command or that of this run, which makes it again"
ANEW = "remove this run (`actlas rm`) and extract it again"
Pieces = tuple[Piece, ...]


@dataclass(frozen=True)
class OwnPieces(Sequence[Pieces]):
    """One site of units that share nothing: what each lies in, made when it is asked for, as a run may have 10⁵ units."""

    site: str
    holdings: tuple[Holding, ...]
    paths: tuple[Path, ...]  # of the holdings
    holding: npt.NDArray[np.int64]  # of each unit, its number in ``holdings``
    member: npt.NDArray[np.int64]  # of each unit, its number in the holding's file

    def __len__(self) -> int:
        return len(self.holding)

    @overload
    def __getitem__(self, index: int) -> Pieces: ...
    @overload
    def __getitem__(self, index: slice) -> OwnPieces: ...
    def __getitem__(self, index: int | slice) -> Pieces | OwnPieces:
        """Return what a unit lies in: one piece."""
        if isinstance(index, slice):
            return OwnPieces(
                self.site, self.holdings, self.paths, self.holding[index], self.member[index]
            )
        number = int(self.holding[index])
        place = Place(self.holdings[number], int(self.member[index]), frozenset())
        return (_own_piece(self.paths[number], place, self.site),)

    @property
    def kinds(self) -> list[Pieces]:
        """Pieces of one unit of each file, since units of one file differ in their tokens alone."""
        _, first = np.unique(self.holding, return_index=True)
        return [self[int(index)] for index in first]


def site_pieces(run: Run, site: str) -> Sequence[Pieces]:
    """Return the pieces of a complete site, of all units in order; raises DamagedStore as ``pieces_of`` does."""
    places = [run.place(unit, site) for unit in run.units]
    holdings = {id(place.holding): place.holding for place in places}
    if any(site not in holding.sites or site in holding.sharing for holding in holdings.values()):
        return tuple(pieces_of(run, unit, site) for unit in run.units)
    numbers = {key: number for number, key in enumerate(holdings)}
    return OwnPieces(
        site,
        tuple(holdings.values()),
        tuple(run.path(holding) for holding in holdings.values()),
        np.array([numbers[id(place.holding)] for place in places]),
        np.array([place.member for place in places]),
    )


def pieces_of(run: Run, unit: Unit, site: str) -> Pieces:
    """Return where a site of a unit lies: what a variant shares with its baseline, then what is its own.

    Raises DamagedStore where the baseline no longer has the blocks that are shared.
    """
    place = run.place(unit, site)
    shared = place.shared.get(site)
    own = (_own_piece(run.path(place.holding), place, site),) if site in place.holding.sites else ()
    return own if shared is None else (shared_piece(run, unit, site, shared), *own)


def _own_piece(path: Path, place: Place, site: str) -> Piece:
    stored = place.stored(site)
    return Piece(path, place.holding.size, stored, stored.layout.blocks)


def stranded(run: Run, losing: Collection[Work] = ()) -> dict[Work, str]:
    """Return the units of a variant, each with its sites, whose baseline no longer has the blocks they share, and why.

    losing: what the baseline has and is about to lose, which counts as lost.
    Records alone are compared, no block is read. None are known where records are unreadable or the whole baseline is
    away, which may come back, and of a run in other units than its baseline, which is to go as a whole.
    """
    found: dict[Work, str] = {}
    try:
        known = run.baseline is not None and run.baseline.units == run.units
        _ = run.holdings, run.baseline.holdings if run.baseline else ()
    except DamagedStore:
        known = False
    for unit in run.units if known else ():
        for place in run.unit_places(unit):
            for site, shared in place.shared.items():
                try:
                    shared_piece(run, unit, site, shared, losing)
                except DamagedStore as error:
                    found.setdefault((unit.number, place.holds), str(error))
    return found


def shared_piece(
    run: Run, unit: Unit, site: str, shared: SharedSite, losing: Collection[Work] = ()
) -> Piece:
    """Return where the blocks lie that a unit of ``run`` shares with its baseline.

    Raises DamagedStore where that has others, or none but what it is ``losing``.
    """
    baseline = run.baseline
    if baseline is None or baseline.id != shared.run:
        raise DamagedStore(
            f"run {run.name} needs blocks of its baseline {shared.run}, which is not there: {AWAY}"
        )
    if unit not in baseline.units:
        raise DamagedStore(
            f"run {run.name} was made in other units than its baseline {shared.run} has now: {ANEW}"
        )
    places = baseline.own_places(unit, site)
    place = next((each for each in places if (unit.number, each.holds) not in losing), None)
    if place is None:
        raise DamagedStore(
            f"run {run.name} needs {site} of unit {unit.number} of its baseline {shared.run}, which lacks it: "
            "run the baseline's `actlas extract` command again, then `actlas verify`"
        )
    path, stored = baseline.path(place.holding), place.stored(site)
    if stored.checksums[: len(shared.checksums)] != shared.checksums:
        raise DamagedStore(
            f"run {run.name} was made with other values of {site} than {path} has now: {REMEDY}"
        )
    return Piece(path, place.holding.size, stored, len(shared.checksums))
