"""A run: what its commits hold, and the lazy labelled view of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore, IncompleteRun, UsageError, unknown
from actlas.store.format.edit_records import EditRecord, read_edits
from actlas.store.format.run_record import FILE, read_run_record
from actlas.store.format.schema import (
    BLOCK_DIMS,
    Commit,
    Json,
    SiteLayout,
    Unit,
    checksum,
    identity,
)
from actlas.store.io.safe_open import refuse_links, uncollected
from actlas.store.labels.columns import Columns
from actlas.store.labels.labels import Labels, join_labels
from actlas.store.labels.record import REMEDY, LabelRecord, newest_record, read_values, versions
from actlas.store.labels.texts import labels_at
from actlas.store.reading.places import Place, check_labels, label_places, places_of, read_labels
from actlas.store.runs.holdings import expand, read_holdings
from actlas.store.runs.joined import Holding, Joined

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.reading.blocks import Piece


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
        self.folder = folder.absolute()
        self.names = tuple(sorted(names))
        folder = self.folder
        refuse_links(
            folder.parent,
            folder,
            folder / "commits",
            folder / "joined",
            folder / "labels",
            folder / "shards",
        )
        record = read_run_record(folder)
        self.id = folder.name
        self.specification, self.description, self.units = (
            record.specification,
            record.description,
            record.units,
        )

    def __repr__(self) -> str:
        """Name, size and sites in a line."""
        return f"<Run {self.name} {self.id}: {self.sentences} sentences, {self.tokens} tokens, sites {' '.join(self.sites)}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from actlas.store.reading.html import run_html

        return run_html(self)

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
    @uncollected()
    def holdings(self) -> tuple[Holding, ...]:
        """Commits, and records of joined files; raises DamagedStore if one is altered or not of this run's plan."""
        holdings, planned = read_holdings(self.folder), set(self.units)
        for holding in holdings:
            units = holding.units if isinstance(holding, Joined) else (holding.unit,)
            if holding.run != self.id or not planned.issuperset(units):
                raise DamagedStore(
                    f"run {self.name}: the commit of {holding.file} is not of its plan: see `actlas verify`"
                )
        return tuple(holdings)

    @cached_property
    @uncollected()
    def commits(self) -> tuple[Commit, ...]:
        """All commits, by unit, those of joined files among them; raises DamagedStore as ``holdings`` does."""
        return tuple(
            sorted(
                expand(self.holdings), key=lambda commit: (commit.unit.number, sorted(commit.holds))
            )
        )

    def refresh(self) -> None:
        """Forget the commits, to see those made since."""
        for cached in (
            "holdings",
            "commits",
            "labels",
            "label_record",
            "columns",
            "baseline",
            "_places",
            "digest",
        ):
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

    @uncollected()
    def missing(self, sites: str | Iterable[str]) -> list[tuple[Unit, tuple[str, ...]]]:
        """Return the units that lack some of ``sites``, each with what it lacks."""
        wanted = names_of(sites)
        held = ((unit, self.held(unit.number)) for unit in self.units)
        return [
            (unit, tuple(site for site in wanted if site not in here))
            for unit, here in held
            if not here.issuperset(wanted)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all committed shards."""
        return sum({holding.file: holding.size for holding in self.holdings}.values())

    @cached_property
    @uncollected()
    def labels(self) -> Labels:
        """Labels of all tokens and sentences: structural ones of the shards, columns as last given.

        Raises IncompleteRun if a unit has none yet, DamagedStore where they cannot be read.

        Texts of more than 65 536 sentences stay where they are and are read when they are asked for.
        """
        places = label_places([self._any_place(unit) for unit in self.units])
        structural = labels_at(
            [(self.path(holding), holding.size, labels) for holding, labels in places],
            self.sentences,
        )
        return replace(structural, columns=self.columns)

    @property
    def label_home(self) -> Path:
        """The folder that has the label columns: a variant's is its baseline, so that they agree."""
        folder = self.folder.parent / (self.baseline_id or self.id)
        return folder if (folder / FILE).is_file() else self.folder

    @cached_property
    def label_record(self) -> LabelRecord:
        """The newest version of the label columns when first asked for; raises DamagedStore."""
        home = self.label_home
        refuse_links(home)
        if self.baseline_id and home == self.folder and not versions(home):
            has = f"the labels of run {self.name} are those of its baseline {self.baseline_id}"
            raise DamagedStore(f"{has}, which is not there: {REMEDY}")
        return newest_record(home, self.sentences)

    @cached_property
    def columns(self) -> Columns:
        """The input's own columns, (sentence,): int64, float64, uint8 or str; raises DamagedStore."""
        sites = {site for holding in self.holdings for site in (*holding.sites, *holding.sharing)}
        return read_values(self.label_home, self.label_record, sites)

    @property
    def labels_version(self) -> int:
        """Version of its label columns, from 1 on; ``actlas relabel`` makes the next."""
        return self.label_record.number

    @property
    def labels_digest(self) -> str:
        """Digest of the label columns, 16 hex digits, of names, dtypes and values."""
        return self.label_record.digest

    def labels_of(self, commits: Iterable[Commit]) -> Labels:
        """Return the structural labels of ``commits``, one after the other."""
        return join_labels(
            [read_labels(self.path(commit), commit.size, commit.labels) for commit in commits]
        )

    @property
    def sentences_id(self) -> str:
        """What its numbers of sentences mean: equal in runs of the same token ids, such as a run and its variants."""
        return str(self.specification.get("tokens", self.id))

    def sentence_labels(self) -> xr.Dataset:
        """Return what is known of each sentence, on ``sentence``: ``text``, ``row_size`` in tokens, and the input's columns.

        It goes with what was computed by sentence: ``ds["nll"].groupby("sentence").mean().to_dataset().merge(…)``.
        Raises IncompleteRun, DamagedStore as ``labels`` does.
        """
        from actlas.store.reading.view import sentence_labels

        return sentence_labels(self.labels)

    @uncollected()
    def dataset(
        self, sites: str | Iterable[str] | None = None, *, check: bool = True
    ) -> xr.Dataset:
        """Return a lazy view: float32 variables (layer or depth, token, …), labels as coordinates.

        All labels lie on ``token``: ``sentence``, ``position``, ``token_id``, ``char_start``, ``char_end``, int32; ``text`` and
        the input's columns, those of the token's sentence. ``sentence`` has an index: ``ds.sel(sentence=2)``.
        sites: names of sites, or one; all complete ones by default. check: compare the labels, now, and every block
        that is read, then, with their checksums; without it only the rows that are asked for are read, and sizes checked.
        Raises UsageError for an unknown site, IncompleteRun for one that some units lack, DamagedStore on reading.
        """
        from actlas.store.reading.view import lazy_view

        wanted = self.sites if sites is None else names_of(sites)
        self.require(wanted)
        if check:
            self.check_labels(self._any_place(unit).holding for unit in self.units)
        return lazy_view(self, wanted, check=check)

    def rows(
        self, unit: Unit, site: str, block: int, *, check: bool = False
    ) -> npt.NDArray[np.float32]:
        """Return one block of a unit, (token, …), read now; raises DamagedStore as a view does."""
        from actlas.store.reading.blocks import find_block, read_block

        return read_block(*find_block(self.pieces(unit, site), block), check)

    def layout(self, site: str) -> SiteLayout:
        """Return how the first unit holds ``site``; the others differ in their tokens alone."""
        pieces = self.pieces(self.units[0], site)
        layout = pieces[-1].stored.layout
        blocks = sum(piece.blocks for piece in pieces)
        return (
            replace(layout, first=0, shape=(blocks, *layout.block_shape))
            if layout.dims[0] in BLOCK_DIMS
            else layout
        )

    def require(self, sites: str | Iterable[str]) -> None:
        """Raise UsageError for a site that no unit has, IncompleteRun for one that some units lack."""
        held = frozenset(
            site for places in self._places.values() for place in places for site in place.holds
        )
        wanted = names_of(sites)
        for site in wanted:
            if site not in held:
                error = unknown("site", site, held)
                raise UsageError(
                    f"run {self.name} has no such site yet: {error} (`actlas extract … --site {site}` adds it)"
                )
        lacking = self.missing(wanted)
        if lacking:
            raise IncompleteRun(
                f"run {self.name} lacks {' '.join(lacking[0][1])} in {len(lacking)} of {len(self.units)} units: "
                "run its `actlas extract` command again to finish it"
            )

    def path(self, holding: Holding) -> Path:
        """Return the shard's path."""
        return self._paths[holding.file]

    @cached_property
    def _paths(self) -> _Paths:
        return _Paths(self.folder / "shards")

    @cached_property
    @uncollected()
    def _places(self) -> Mapping[int, list[Place]]:
        """Number of a unit → where it is stored."""
        return places_of(self.holdings)

    def unit_places(self, unit: Unit) -> Sequence[Place]:
        """Return which commits, or units of joined files, make sites of a unit part of the run."""
        return self._places.get(unit.number, ())

    def _any_place(self, unit: Unit) -> Place:
        if unit.number not in self._places:
            raise IncompleteRun(
                f"run {self.name} lacks unit {unit.number}: run its `actlas extract` command again"
            )
        return self._places[unit.number][0]

    @cached_property
    def digest(self) -> str:
        """What the lazy arrays of this run are named after: all files, places and checksums that they read."""
        parts = [
            repr((holding.file, holding.size, holding.sites, holding.rest, _shown(holding)))
            for holding in self.holdings
        ]
        return checksum("\n".join(parts).encode()) + (self.baseline.digest if self.baseline else "")

    def pieces(self, unit: Unit, site: str) -> tuple[Piece, ...]:
        """Return where a site of a unit lies: what a variant shares with its baseline, then what is its own.

        Raises DamagedStore where the baseline no longer has the blocks that are shared.
        """
        from actlas.store.reading.pieces import pieces_of

        return pieces_of(self, unit, site)

    def place(self, unit: Unit, site: str) -> Place:
        """Return which commit, or unit of a joined file, has ``site`` of a unit that has it."""
        places = self._places[unit.number]
        return (
            places[0]
            if len(places) == 1
            else next(place for place in places if site in place.holds)
        )

    @cached_property
    def edits(self) -> tuple[EditRecord, ...]:
        """The edits of a variant, in the order of the forward pass; none of a baseline."""
        return read_edits(self.specification)

    @property
    def baseline_id(self) -> str | None:
        """Of a variant: the id of the run without its edits; None for a run without edits."""
        return (
            identity({**self.specification, "edits": []})
            if self.specification.get("edits")
            else None
        )

    @cached_property
    def baseline(self) -> Run | None:
        """Of a variant: the run without its edits; None where that is not in the store, and for a run without edits.

        Raises DamagedStore if it is there and cannot be read.
        """
        folder = self.folder.parent / (self.baseline_id or "")
        return Run(folder) if self.baseline_id and (folder / FILE).is_file() else None

    def own_places(self, unit: Unit, site: str) -> Iterator[Place]:
        """Yield which commits, or units of joined files, have own blocks of ``site`` of a unit."""
        return (place for place in self._places.get(unit.number, ()) if site in place.holding.sites)

    def block_numbers(self, dim: str, blocks: int) -> npt.NDArray[np.int64]:
        """Return the layers, or depths, of a site's ``blocks``."""
        return np.arange(blocks)

    def check_labels(self, holdings: Iterable[Holding]) -> None:
        """Raise DamagedStore where structural labels of ``holdings`` were altered."""
        check_labels((self.path(holding), holding) for holding in holdings)


def names_of(sites: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of sites; one may be given alone."""
    return (sites,) if isinstance(sites, str) else tuple(sites)


def _shown(holding: Holding) -> object:
    return holding.shared if isinstance(holding, Commit) else (holding.name, sorted(holding.gone))
