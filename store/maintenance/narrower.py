"""Shards with rows of some tokens, all of whose numbers are stored with rows of more.

`extract --tokens last`, then the same for all tokens: nothing reads the rows of the last any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import reduce

from actlas.store.format.commit_record import CommitRecord, Work
from actlas.store.format.parts import WHOLE, together
from actlas.store.io.durable import sync_folder
from actlas.store.io.workspace import collect_garbage, writers
from actlas.store.reading.index import RunIndex
from actlas.store.reading.sources import stranded
from actlas.store.runs.commits import COMMITS, PACKED, is_whole
from actlas.store.runs.packed import dropping, packing_lock
from actlas.store.runs.run import Run

Held = dict[str, frozenset[int]]  # site → layers or depths


def needless(run: Run, variants: Collection[Run]) -> list[CommitRecord]:
    """Return the records whose blocks all units have with rows of more tokens, in whole files.

    What a variant shares stays, and everything while the run or a variant is being written to.
    Raises DamagedStore where records or masks cannot be read: nobody knows what is needed then.
    """
    kinds = {_kept(record) for record in run.records}
    if len(kinds) < 2 or any(writers(each.folder) for each in (run, *variants)):
        return []
    whole = {record.file for record in run.records if is_whole(run.folder, record)}
    held = {kept: _held(run.index, kept, whole) for kept in kinds - {WHOLE}}
    found = [
        record for record in run.records if record.kept and _is_there(record, held[_kept(record)])
    ]
    needed = _shared(variants, {work for record in found for work in record.covers})
    return [record for record in found if not record.covers & needed]


def drop(run: Run, records: Collection[CommitRecord]) -> None:
    """Remove records of ``needless``, and then their shards."""
    with packing_lock(run.folder):
        for record in records:
            with dropping(run.folder, record.file):
                for part in (COMMITS, PACKED):
                    (run.folder / part / record.name).unlink(missing_ok=True)
    for part in (COMMITS, PACKED):
        if (run.folder / part).is_dir():
            sync_folder(run.folder / part)
    collect_garbage(run.folder)
    run.refresh()


def _kept(record: CommitRecord) -> str:
    return record.kept.digest if record.kept else WHOLE


def _is_there(record: CommitRecord, held: Held) -> bool:
    return all(
        held.get(site, frozenset()).issuperset(numbers)
        for index in record.present
        for site, numbers, _ in record.holds(index)
    )


def _held(index: RunIndex, kept: str, whole: Collection[str]) -> Held:
    """Return what every unit has with all tokens of a selection and more, in files of ``whole``."""
    more = frozenset(_with_more(index, kept))
    of_units = []
    for unit in index.units:
        there = (each for each in index.locations(unit) if each.file in whole)
        parts = (part for each in there for part in each.holds if part.kept in more)
        of_units.append(together(parts))
    return reduce(_common, of_units)


def _common(one: Held, other: Held) -> Held:
    return {site: one[site] & other[site] for site in one.keys() & other.keys()}


def _with_more(index: RunIndex, kept: str) -> Iterator[str]:
    """Yield the selections with all tokens of one and others, by now known of all units."""
    selections = index.selections
    yield WHOLE
    for other in selections.wider(kept) - {WHOLE}:
        known = len(selections.masks(other)) == len(index.units)
        if known and selections.tokens(other) > selections.tokens(kept):
            yield other


def _shared(variants: Collection[Run], losing: set[Work]) -> frozenset[Work]:
    """Return what of ``losing`` is of units that a variant could no longer be read in."""
    numbers: set[int] = set()
    for variant in variants if losing else ():
        before = stranded(variant.index)
        numbers.update(number for number, _ in stranded(variant.index, losing).keys() - before)
    return frozenset(work for work in losing if work[0] in numbers)
