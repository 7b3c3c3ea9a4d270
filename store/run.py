"""A run: what its commits hold, and the lazy labelled view of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from actlas.store.digest import rest_checksum
from actlas.store.errors import DamagedStore, IncompleteRun, UsageError, missing, unknown
from actlas.store.joined import Joined, expand, read_holdings
from actlas.store.labels import TOKEN_LABELS, Labels, bytes_to_text
from actlas.store.opening import opened, read_record, refuse_links
from actlas.store.schema import (
    BLOCK_DIMS,
    Commit,
    Json,
    SharedSite,
    SiteLayout,
    StoredLabel,
    StoredSite,
    Unit,
    checksum,
    identity,
    unseal,
)
from actlas.store.soundness import check_units

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.blocks import Piece


class _Place(NamedTuple):
    """Where some sites of a unit are stored: a commit of its own, or the unit ``member`` of a joined file."""

    holding: Commit | Joined
    member: int
    holds: frozenset[str]

    def stored(self, site: str) -> StoredSite | None:
        """Return where a site's own blocks lie, None where all are its baseline's."""
        if site not in self.holding.sites:
            return None
        return self.holding.sites[site] if isinstance(self.holding, Commit) else self.holding.site(self.member, site)

    @property
    def shared(self) -> Mapping[str, SharedSite]:
        """What is shared with the baseline."""
        return self.holding.shared if isinstance(self.holding, Commit) else self.holding.shared_of(self.member)


class _Paths(dict[str, Path]):
    """Name of a shard → its path, made once: a run of many units asks often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, file: str) -> Path:
        path = self[file] = self._folder / file
        return path


class Run:
    """One run of a store, as its commits say when it is opened; ``refresh`` looks again."""

    def __init__(self, folder: Path, names: Sequence[str] = ()) -> None:
        self.folder = folder
        self.names = tuple(sorted(names))
        path = folder / "run.json"
        refuse_links(folder.parent, folder, folder / "commits", folder / "joined", folder / "shards")
        try:
            record = unseal(read_record(path), str(path), "actlas-run")
        except FileNotFoundError as error:
            raise DamagedStore(f"{path} is missing: restore it from a copy, or extract again") from error
        try:
            self.specification: Json = dict(record["specification"])
            self.description: Json = dict(record["description"])
            self.units = tuple(Unit(*unit) for unit in record["units"])
            check_units(self.units)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedStore(f"{path} lacks a field or has a wrong one ({error}): restore it from a copy") from error
        self.id = folder.name
        if identity(self.specification) != self.id:
            raise DamagedStore(f"{path} is of run {identity(self.specification)}, not of {self.id}: restore it from a copy")

    def __repr__(self) -> str:
        """Name, size and sites in a line."""
        return f"<Run {self.name} {self.id}: {self.sentences} sentences, {self.tokens} tokens, sites {' '.join(self.sites)}>"

    @property
    def name(self) -> str:
        """The first of its names, or its id."""
        return self.names[0] if self.names else self.id

    @property
    def limits(self) -> Json:
        """What sets its values apart from those of the whole run, for results to say: nothing, but in an export."""
        return {}

    @property
    def sentences(self) -> int:
        """Number of sentences."""
        return sum(unit.sentences for unit in self.units)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(unit.tokens for unit in self.units)

    @cached_property
    def holdings(self) -> tuple[Commit | Joined, ...]:
        """Commits, and records of joined files; raises DamagedStore if one is altered or not of this run's plan."""
        holdings, planned = read_holdings(self.folder), set(self.units)
        for holding in holdings:
            units = holding.units if isinstance(holding, Joined) else (holding.unit,)
            if holding.run != self.id or not planned.issuperset(units):
                raise DamagedStore(f"run {self.name}: the commit of {holding.file} is not of its plan: see `actlas verify`")
        return tuple(holdings)

    @cached_property
    def commits(self) -> tuple[Commit, ...]:
        """All commits, by unit, those of joined files among them; raises DamagedStore as ``holdings`` does."""
        return tuple(sorted(expand(self.holdings), key=lambda commit: (commit.unit.number, sorted(commit.holds))))

    def refresh(self) -> None:
        """Forget the commits, to see those made since."""
        for cached in ("holdings", "commits", "labels", "baseline", "_places", "_digest"):
            self.__dict__.pop(cached, None)

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has."""
        held = [self.held(unit.number) for unit in self.units]
        return tuple(sorted(frozenset.intersection(*held))) if held else ()

    def held(self, unit: int) -> frozenset[str]:
        """Sites that a unit has."""
        places = self._places.get(unit, ())
        if len(places) == 1:
            return places[0].holds
        return frozenset(site for place in places for site in place.holds)

    def missing(self, sites: Iterable[str]) -> list[tuple[Unit, tuple[str, ...]]]:
        """Return the units that lack some of ``sites``, each with what it lacks."""
        wanted = tuple(sites)
        held = ((unit, self.held(unit.number)) for unit in self.units)
        return [
            (unit, tuple(site for site in wanted if site not in here)) for unit, here in held if not here.issuperset(wanted)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all committed shards."""
        return sum({holding.file: holding.size for holding in self.holdings}.values())

    @cached_property
    def labels(self) -> Labels:
        """Labels of all tokens and sentences, read from the shards; raises IncompleteRun if a unit has none yet."""
        parts: list[tuple[Commit | Joined, Mapping[str, StoredLabel]]] = []
        for first, last in _stretches([self._any_place(unit) for unit in self.units]):
            holding = first.holding
            parts.append(
                (holding, holding.labels if isinstance(holding, Commit) else holding.labels_of(first.member, last.member))
            )
        return _joined([self._read_labels(*part) for part in parts])

    def labels_of(self, commits: Iterable[Commit]) -> Labels:
        """Return the labels of the tokens and sentences of ``commits``, one after the other."""
        return _joined([self._read_labels(commit, commit.labels) for commit in commits])

    def dataset(self, sites: Iterable[str] | None = None, *, check: bool = True) -> xr.Dataset:
        """Return a lazy view: float32 variables (layer or depth, token, …), labels as coordinates.

        sites: names of sites, all complete ones by default. check: compare the labels, now, and every block that is read,
        then, with their checksums; without it only the rows that are asked for are read, and sizes alone are checked.
        Raises UsageError for an unknown site, IncompleteRun for one that some units lack, DamagedStore on reading.
        """
        import xarray as xr
        from dask.base import tokenize

        from actlas.store.blocks import lazy_site

        wanted = self.sites if sites is None else tuple(sites)
        self.require(wanted)
        if check:
            self.check_labels(self._any_place(unit).holding for unit in self.units)
        variables = {}
        for site in wanted:
            units = [self.pieces(unit, site) for unit in self.units]
            layout = units[0][-1].stored.layout
            alike: set[tuple[SiteLayout, int]] = {(layout, len(units[0]))}
            for pieces in units:
                kind = (pieces[-1].stored.layout, len(pieces))
                if kind in alike:
                    continue
                alike.add(kind)
                if kind[0].form != layout.form or kind[1] != len(units[0]):
                    first = units[0][-1].path
                    raise DamagedStore(f"{pieces[-1].path} has {site} in another shape than {first}: see `actlas show`")
            # the folder is part of the name: dask takes arrays of one name for the same, and stores are there to be compared
            array = lazy_site(f"{site}-{tokenize(str(self.folder.resolve()), site, self._digest, check)}", units, check)
            variables[site] = xr.Variable(layout.dims, array, {"long_name": layout.description})
        return xr.Dataset(variables, coords=self._coordinates(variables), attrs={"run": self.id, "name": self.name})

    def rows(self, unit: Unit, site: str, block: int, *, check: bool = False) -> npt.NDArray[np.float32]:
        """Return one block of a unit, (token, …), read now; raises DamagedStore as a view does."""
        from actlas.store.blocks import find_block, read_block

        return read_block(*find_block(self.pieces(unit, site), block), check)

    def layout(self, site: str) -> SiteLayout:
        """Return how the first unit holds ``site``; the others differ in their tokens alone."""
        pieces = self.pieces(self.units[0], site)
        layout = pieces[-1].stored.layout
        blocks = sum(piece.blocks for piece in pieces)
        return replace(layout, first=0, shape=(blocks, *layout.block_shape)) if layout.dims[0] in BLOCK_DIMS else layout

    def require(self, sites: Iterable[str]) -> None:
        """Raise UsageError for a site that no unit has, IncompleteRun for one that some units lack."""
        held = frozenset(site for places in self._places.values() for place in places for site in place.holds)
        wanted = tuple(sites)
        for site in wanted:
            if site not in held:
                error = unknown("site", site, held)
                raise UsageError(f"run {self.name} has no such site yet: {error} (`actlas extract … --site {site}` adds it)")
        lacking = self.missing(wanted)
        if lacking:
            raise IncompleteRun(
                f"run {self.name} lacks {' '.join(lacking[0][1])} in {len(lacking)} of {len(self.units)} units: "
                "run its `actlas extract` command again to finish it"
            )

    def path(self, holding: Commit | Joined) -> Path:
        """Return the shard's path."""
        return self._paths[holding.file]

    @cached_property
    def _paths(self) -> _Paths:
        return _Paths(self.folder / "shards")

    @cached_property
    def _places(self) -> Mapping[int, list[_Place]]:
        """Number of a unit → where it is stored."""
        units: dict[int, list[_Place]] = {}
        for holding in self.holdings:
            if isinstance(holding, Joined):
                for index in holding.present:
                    units.setdefault(holding.units[index].number, []).append(_Place(holding, index, holding.holds(index)))
            else:
                units.setdefault(holding.unit.number, []).append(_Place(holding, 0, holding.holds))
        return units

    def _any_place(self, unit: Unit) -> _Place:
        if unit.number not in self._places:
            raise IncompleteRun(f"run {self.name} lacks unit {unit.number}: run its `actlas extract` command again")
        return self._places[unit.number][0]

    @cached_property
    def _digest(self) -> str:
        """What the lazy arrays of this run are named after: all files, places and checksums that they read."""
        parts = [repr((holding.file, holding.size, holding.sites, holding.rest, _shown(holding))) for holding in self.holdings]
        return checksum("\n".join(parts).encode()) + (self.baseline._digest if self.baseline else "")

    def pieces(self, unit: Unit, site: str) -> tuple[Piece, ...]:
        """Return where a site of a unit lies: what a variant shares with its baseline, then what is its own.

        Raises DamagedStore where the baseline no longer has the blocks that are shared.
        """
        from actlas.store.blocks import Piece

        place = self._holder(unit, site)
        own, shared = place.stored(site), place.shared.get(site)
        pieces = () if own is None else (Piece(self.path(place.holding), place.holding.size, own, own.layout.blocks),)
        return pieces if shared is None else (self._shared(unit, site, shared), *pieces)

    def _holder(self, unit: Unit, site: str) -> _Place:
        return next(place for place in self._places[unit.number] if site in place.holds)

    @property
    def baseline_id(self) -> str | None:
        """Of a variant: the id of the run without its edits; None for a run without edits."""
        return identity({**self.specification, "edits": []}) if self.specification.get("edits") else None

    @cached_property
    def baseline(self) -> Run | None:
        """Of a variant: the run without its edits; None where that is not in the store, and for a run without edits.

        Raises DamagedStore if it is there and cannot be read.
        """
        folder = self.folder.parent / (self.baseline_id or "")
        return Run(folder) if self.baseline_id and (folder / "run.json").is_file() else None

    def _shared(self, unit: Unit, site: str, shared: SharedSite) -> Piece:
        from actlas.store.blocks import Piece

        remedy = "restore it from a copy, or remove this run and make both again"
        baseline = self.baseline
        if baseline is None or baseline.id != shared.run:
            raise DamagedStore(f"run {self.name} needs blocks of its baseline {shared.run}, which is not there: {remedy}")
        if unit not in baseline.units:
            raise DamagedStore(f"run {self.name} was made in other units than its baseline {shared.run} has now: {remedy}")
        place = next((place for place in baseline._places.get(unit.number, ()) if site in place.holding.sites), None)
        stored = place.stored(site) if place else None
        if place is None or stored is None:
            raise DamagedStore(
                f"run {self.name} needs {site} of unit {unit.number} of its baseline {shared.run}, which lacks it: "
                "run the baseline's `actlas extract` command again"
            )
        path = baseline.path(place.holding)
        if stored.checksums[: len(shared.checksums)] != shared.checksums:
            raise DamagedStore(f"run {self.name} was made with other values of {site} than {path} has now: {remedy}")
        return Piece(path, place.holding.size, stored, len(shared.checksums))

    def _coordinates(self, variables: Mapping[str, xr.Variable]) -> dict[str, Any]:
        labels = self.labels
        coordinates: dict[str, Any] = {
            name: ("token", labels.token[name], {"long_name": meaning}) for name, meaning in TOKEN_LABELS.items()
        }
        coordinates["row_size"] = ("sentence", labels.row_size)
        coordinates["text"] = ("sentence", np.array(labels.text, dtype=np.str_))
        coordinates.update({name: ("sentence", column) for name, column in labels.columns.items()})
        for dim in BLOCK_DIMS:
            sizes = {variable.sizes[dim] for variable in variables.values() if dim in variable.dims}
            if sizes:
                coordinates[dim] = np.arange(sizes.pop())
        return coordinates

    def _read_labels(self, holding: Commit | Joined, places: Mapping[str, StoredLabel]) -> Labels:
        with self._opened(holding) as descriptor:
            arrays = {name: _read_label(descriptor, label) for name, label in places.items()}
        try:
            text = bytes_to_text(arrays.pop("text"))
            row_size = arrays.pop("row_size")
            token = {name: arrays.pop(name) for name in TOKEN_LABELS}
            columns = {name: _column(array) for name, array in arrays.items()}
            return Labels(token, row_size, text, columns)
        except ValueError as error:  # no UTF-8 any more, or rows that do not add up
            raise DamagedStore(f"{self.path(holding)}: labels were altered ({error}): see `actlas verify`") from error

    def check_labels(self, holdings: Iterable[Commit | Joined]) -> None:
        """Raise DamagedStore where labels or HDF5's records in the files of ``holdings`` were altered."""
        for holding in {holding.file: holding for holding in holdings}.values():  # many units may lie in one file
            with self._opened(holding) as descriptor:
                spans = holding.spans if isinstance(holding, Commit) else holding.bulk
                if rest_checksum(descriptor, holding.size, spans) != holding.rest:
                    raise DamagedStore(f"{self.path(holding)}: labels were altered (checksum differs): see `actlas verify`")

    @contextmanager
    def _opened(self, holding: Commit | Joined) -> Iterator[int]:
        """Open a shard of the committed size; raises DamagedStore where it is missing or has another."""
        path = self.path(holding)
        try:
            with opened(path) as (descriptor, found):
                if found.st_size != holding.size:
                    raise DamagedStore(f"{path} has {found.st_size} bytes, its commit says {holding.size}: see `actlas verify`")
                yield descriptor
        except FileNotFoundError as error:
            raise DamagedStore(missing(path)) from error


def _shown(holding: Commit | Joined) -> object:
    return holding.shared if isinstance(holding, Commit) else (holding.name, sorted(holding.gone))


def _stretches(places: Sequence[_Place]) -> Iterator[tuple[_Place, _Place]]:
    """Yield first and last of each stretch of places that follow each other in one file."""
    start = 0
    for number in range(1, len(places) + 1):
        before, after = places[number - 1], places[number] if number < len(places) else None
        together = after and isinstance(after.holding, Joined) and after.holding is before.holding
        if not together or after.member != before.member + 1:  # type: ignore[union-attr]
            yield places[start], before
            start = number


def _read_label(descriptor: int, label: StoredLabel) -> npt.NDArray[Any]:
    dtype = np.dtype(label.dtype)
    count = int(np.prod(label.shape, dtype=np.int64))
    content = os.pread(descriptor, count * dtype.itemsize, label.offset)
    return np.frombuffer(content, dtype, count).reshape(label.shape)


def _column(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array(bytes_to_text(array), dtype=np.str_) if array.dtype.kind == "S" else array


def _joined(parts: Sequence[Labels]) -> Labels:
    return Labels(
        token={name: np.concatenate([part.token[name] for part in parts]) for name in TOKEN_LABELS},
        row_size=np.concatenate([part.row_size for part in parts]),
        text=tuple(text for part in parts for text in part.text),
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )
