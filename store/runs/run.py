"""A run: what its commits hold, and the lazy labelled view of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actlas.store.errors import DamagedStore, IncompleteRun, UsageError, quoted, unknown
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.edit_records import EditRecord, read_edits
from actlas.store.format.run_record import FILE, read_run_record
from actlas.store.format.schema import Json, Unit
from actlas.store.io.safe_open import refuse_links, uncollected
from actlas.store.labels.generated import prompt_tokens_of
from actlas.store.labels.labels import Labels
from actlas.store.labels.special import special_of
from actlas.store.labels.texts import labels_at
from actlas.store.reading.index import RunIndex, names_of
from actlas.store.reading.picking import Picking
from actlas.store.reading.stored_labels import check_labels, label_places
from actlas.store.runs.commits import COMMITS, PACKED, read_commits
from actlas.store.runs.labelled import CACHED_LABELS, Labelled
from actlas.store.runs.outlets import Outlets

if TYPE_CHECKING:
    import xarray as xr

    from actlas.store.reading.derived import Derivation

#: what an open run keeps of its folder until it is refreshed
CACHED = ("records", "commits", "index", "baseline", *CACHED_LABELS)


class Run(Labelled, Picking, Outlets):
    """One run of a store, as its commits say when it is opened; ``refresh`` looks again."""

    def __init__(self, folder: Path, names: Sequence[str] = ()) -> None:
        self.folder = folder.absolute()
        self.names = tuple(sorted(names))
        folder = self.folder
        parts = (folder / part for part in (COMMITS, PACKED, "labels", "shards"))
        refuse_links(folder.parent, folder, *parts)
        record = read_run_record(folder)
        self.id = folder.name
        self.specification, self.description = record.specification, record.description
        self.units = record.units

    def __repr__(self) -> str:
        """Name, size and sites in a line."""
        extent = f"{self.sentences} sentences, {self.tokens} tokens"
        return f"<Run {self.name} {self.id}: {extent}, sites {' '.join(self.sites)}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from actlas.store.reading.html import run_html

        try:
            names = " ".join(self.label_record.columns) or "no columns"
            labels = f"version {self.labels_version}: {names}"
        except DamagedStore as error:
            labels = str(error)
        return run_html(self.index, self.specification, self.description, labels, self.baseline_id)

    @property
    def limits(self) -> Json:
        """What results record of an export beside its run; empty for a whole run."""
        return {}

    @cached_property
    @uncollected()
    def records(self) -> tuple[CommitRecord, ...]:
        """The commit records; raises DamagedStore if one is altered or not of this run's plan."""
        records, planned = read_commits(self.folder), set(self.units)
        for record in records:
            if record.run != self.id or not planned.issuperset(record.units):
                raise DamagedStore(
                    f"run {self.name}: the commit of {record.file} is not of its plan: see "
                    "`actlas verify`"
                )
        return tuple(records)

    @cached_property
    @uncollected()
    def commits(self) -> tuple[UnitLocation, ...]:
        """All units that are stored, by number; raises DamagedStore as ``records`` does."""
        found = [location for record in self.records for location in record.locations]
        return tuple(sorted(found, key=lambda each: (each.unit.number, sorted(each.holds))))

    @cached_property
    def index(self) -> RunIndex:
        """Where its units lie; raises DamagedStore as ``records`` does."""

        def of_baseline() -> RunIndex | None:
            return self.baseline.index if self.baseline else None

        shards = self.folder / "shards"
        return RunIndex(self.id, self.name, shards, self.units, self.records, of_baseline)

    def refresh(self) -> None:
        """Forget the commits, to see those made since."""
        for cached in CACHED:
            self.__dict__.pop(cached, None)

    def known_sites(self) -> frozenset[str]:
        """Return the names of all sites that some unit has."""
        records = self.records
        return frozenset(site for each in records for site in (*each.sites, *each.sharing))

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that every unit has."""
        return self.index.sites

    def held(self, unit: int) -> frozenset[str]:
        """Sites that a unit has, at some of their layers, depths and tokens at least."""
        locations = self.index.locations(self.units[unit])
        return frozenset(part.site for location in locations for part in location.holds)

    def missing(self, sites: str | Iterable[str]) -> list[tuple[Unit, tuple[str, ...]]]:
        """Return the units that lack some of ``sites``, each with what it lacks.

        A unit lacks a site too where others have layers or depths of it that the unit has not.
        """
        missing = self.index.missing_parts(self.index.whole(names_of(sites)))
        return [(unit, tuple(part.site for part in lacks)) for unit, lacks in missing]

    @property
    def nbytes(self) -> int:
        """Bytes of all committed shards."""
        return sum({record.file: record.size for record in self.records}.values())

    @cached_property
    @uncollected()
    def labels(self) -> Labels:
        """Labels of all tokens and sentences: structural ones of the shards, columns as last given.

        Raises IncompleteRun if a unit has none yet, DamagedStore where they cannot be read. Texts
        of more than 65 536 sentences are read when they are asked for.
        """
        index, places = self.index, []
        for record, labels in label_places([index.any_location(unit) for unit in self.units]):
            places.append((index.path(record), record.size, labels))
        structural = labels_at(places, self.sentences)
        return replace(structural, columns=self.columns, token_columns=self.token_columns)

    @property
    def sentences_id(self) -> str:
        """What its numbers of sentences mean: the same in a run and its variants."""
        return str(self.specification.get("tokens", self.id))

    def sentence_labels(self) -> xr.Dataset:
        """Return a table on ``sentence``: ``text``, ``row_size`` in tokens, the input's columns.

        Raises IncompleteRun, DamagedStore as ``labels`` does.
        """
        from actlas.store.reading.view import sentence_labels

        return sentence_labels(self.labels, prompt_tokens_of(self.description, self.labels))

    @uncollected()
    def dataset(
        self,
        sites: str | Iterable[str] | None = None,
        *,
        tokens: str | None = None,
        check: bool = True,
    ) -> xr.Dataset:
        """Return a lazy view: float32 variables (layer or depth, token, …), labels as coordinates.

        All labels lie on ``token``: ``sentence``, ``position``, ``token_id``, ``char_start``,
        ``char_end``, int32; ``special``, bool: whether it was added around the text, such as BOS;
        ``text`` and the input's columns, those of the token's sentence; the labels of tokens.
        ``sentence`` has an index: ``ds.sel(sentence=2)``.
        sites: names of sites, or one; all complete ones by default; ``pattern``, ``z``,
        ``resid_mid`` and ``head_out`` are computed where they follow from what is stored
        (``attrs["derived"]``). Layers and depths are those that all units and all of these sites
        have, numbered as the model does: ``ds.sel(layer=6)``. tokens: how those that are kept were
        asked for, such as ``last``, or ``all``; by default the most that all of these sites have,
        said in ``attrs["tokens"]`` where they are not all. check: compare the labels, now, and
        every block that is read, then, with their checksums; without it only the rows that are
        asked for are read, and sizes checked.
        Raises UsageError for an unknown site, IncompleteRun for one that some units lack,
        DamagedStore on reading.
        """
        from actlas.store.reading.sources import site_sources
        from actlas.store.reading.view import lazy_view, model_attributes

        wanted = self.sites if sites is None else names_of(sites)
        derivation = self.derivation
        if derivation and (needed := derivation.needs(wanted)) != tuple(wanted):
            return derivation.added(self.dataset(needed, tokens=tokens, check=check), wanted)
        index = self.index.of(wanted, tokens)
        self._require(wanted, index)
        if check:
            records = (self.index.any_location(unit).record for unit in self.units)
            check_labels((self.path(record), record) for record in records)
        sources = {site: site_sources(index, site) for site in wanted}
        around = special_of(self.description), prompt_tokens_of(self.description, self.labels)
        view = lazy_view(index, sources, self.labels, self.sentences_id, *around, check=check)
        return view.assign_attrs(model_attributes(self.description, self.specification))

    @property
    def derivation(self) -> Derivation | None:
        """What follows from its sites; None of an export, which may have parts of sentences."""
        from actlas.store.reading.derived import Derivation

        known, store = tuple(self.index.known), self.folder.parent.parent
        return Derivation(self.name, self.specification, self.description, known, store)

    def rows(
        self, unit: Unit, site: str, number: int, *, check: bool = False
    ) -> npt.NDArray[np.float32]:
        """Return one block of a unit, (token, …), read now; raises DamagedStore as a view does.

        number: its layer or depth, 0 of a site that has neither. Its tokens are those that
        ``dataset(site)`` has.
        """
        from actlas.store.reading.sources import rows

        return rows(self.index.of((site,)), unit, site, number, check=check)

    def require(self, sites: str | Iterable[str]) -> None:
        """Raise UsageError for a site that no unit has, IncompleteRun for one that some lack.

        UsageError too for sites that have no tokens in common.
        """
        wanted = names_of(sites)
        self._require(wanted, self.index.of(wanted))

    def _require(self, wanted: Sequence[str], index: RunIndex) -> None:
        held = self.index.known
        for site in wanted:
            if site not in held:
                error = unknown("site", site, held)
                raise UsageError(
                    f"run {self.name} has no such site yet: {error} (`actlas extract … --site "
                    f"{site}` adds it)"
                )
        absent = [site for site in wanted if site not in index.numbers]
        if absent:
            missing = self.missing(absent)
            if not missing:
                raise UsageError(
                    f"run {self.name} has {' '.join(absent)} of other tokens than "
                    f"{quoted(index.kept_text)}: read sites that were kept together"
                )
            raise IncompleteRun(
                f"run {self.name} lacks {' '.join(missing[0][1])} in {len(missing)} of "
                f"{len(self.units)} units: "
                "run its `actlas extract` command again to finish it"
            )

    def path(self, where: CommitRecord | UnitLocation) -> Path:
        """Return the path of a shard."""
        return self.index.path(where)

    @cached_property
    def edits(self) -> tuple[EditRecord, ...]:
        """The edits of a variant, in the order of the forward pass; none of a baseline."""
        return read_edits(self.specification)

    @cached_property
    def baseline(self) -> Run | None:
        """Of a variant: the run without its edits; None where that is not in the store.

        Raises DamagedStore if it is there and cannot be read.
        """
        folder = self.folder.parent / (self.baseline_id or "")
        return Run(folder) if self.baseline_id and (folder / FILE).is_file() else None
