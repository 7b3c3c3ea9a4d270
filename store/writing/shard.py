"""Writing one shard.

Reserve the disk, put every activation at its file offset, hash on the way, sync once.

The numbers go from the caller's memory to the page cache in one copy; no filter, no conversion, no
second read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import xxhash

from actlas.store.errors import StoreError
from actlas.store.format.commit_record import CommitRecord, UnitLocation
from actlas.store.format.digest import metadata_checksum_of
from actlas.store.format.parts import Kept
from actlas.store.format.pools import Origin, pool
from actlas.store.format.schema import SiteLayout, StoredLabel, StoredSite, Unit, data_spans_of
from actlas.store.format.skeleton import (
    NO_COLUMNS,
    Image,
    column_records,
    label_records,
    unit_label_checksums,
    write_skeleton,
)
from actlas.store.io.durable import naming, reserve
from actlas.store.labels.columns import Encoded
from actlas.store.labels.labels import KeptTokens, Labels
from actlas.store.labels.stored_columns import StoredColumn, column_spans

IOV_MAX = 1024  # buffers one pwritev takes, on every system we know


@dataclass
class _Block:
    """Progress of one (site, layer) block: rows written so far, hash of them."""

    offset: int
    rows: int
    hash: xxhash.xxh3_64


@dataclass(frozen=True)
class ShardRecord:
    """What a commit says of a finished shard."""

    size: int  # of the HDF5 part
    sites: dict[str, StoredSite]
    labels: dict[str, StoredLabel]
    metadata_checksum: str
    columns: dict[str, StoredColumn] = field(default_factory=dict)  # of an export
    kept: KeptTokens | None = None  # the tokens that have rows, all where None

    def commit(self, run: str, unit: Unit, file: str, origin: Origin) -> CommitRecord:
        """Return the commit record of a shard of one unit.

        Its ``size`` is that of the HDF5 part.
        """
        checksums = {name: "".join(site.checksums) for name, site in self.sites.items()}
        of_labels = {name: label.checksum for name, label in self.labels.items()}
        return self.commit_of(run, (unit,), file, [origin], checksums, of_labels)

    def commit_of(
        self,
        run: str,
        units: tuple[Unit, ...],
        file: str,
        origins: Sequence[Origin | UnitLocation],
        checksums: Mapping[str, str],
        label_checksums: Mapping[str, str],
    ) -> CommitRecord:
        """Return the commit record of a shard of ``units``, with the checksums of each."""
        rows = self.kept.counts(unit.tokens for unit in units) if self.kept else ()
        return CommitRecord(
            run,
            units,
            file,
            self.size,
            {name: replace(site, checksums=()) for name, site in self.sites.items()},
            {name: replace(label, checksum="") for name, label in self.labels.items()},
            self.metadata_checksum,
            checksums,
            label_checksums,
            *pool(origins),
            kept=Kept(self.kept.digest, self.kept.tokens, rows) if self.kept else None,
        )


class ShardWriter:
    """An open shard: ``write`` every row of every block, ``finish``, then ``close`` it.

    ``drop`` removes the file instead.

    Raises StoreError where the disk cannot hold the shard, before anything of it is written. Once a
    call has failed, so do
    all after it: the system reports an error of the disk once, and a later sync says that all is
    well.
    """

    def __init__(
        self,
        path: Path,
        layouts: Sequence[SiteLayout],
        labels: Labels,
        attributes: dict[str, str],
        # the user's labels, which an export carries and a shard does not
        columns: Mapping[str, Encoded] = NO_COLUMNS,
    ) -> None:
        self.path = path
        self._layouts = {layout.site: layout for layout in layouts}
        image = Image()
        offsets = write_skeleton(image, layouts, labels, attributes, columns)
        self.size = image.size
        # without rows there is no variable: nothing is written to its place
        self._offsets = {site: offsets.get(site, 0) for site in self._layouts}
        self._given = labels
        self._labels = label_records(offsets, labels)
        self._columns = column_records(offsets, layouts, labels, columns)
        self._descriptor = -1
        self._error: OSError | None = None
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            reserve(self._descriptor, self.size)
            for offset, content in image.pieces():
                _write_all(self._descriptor, [content], offset)
        except OSError as error:
            self.drop()
            raise _no_room(path.parent, self.size, error) from error
        self.restart()

    def label_checksums(self, units: Sequence[Unit]) -> dict[str, str]:
        """Return label → the checksums of the rows of each of ``units``, one after the other."""
        return unit_label_checksums(self._given, units)

    def restart(self) -> None:
        """Forget all rows, to write the shard again from the first one."""
        self._blocks = {
            (site, number): _Block(
                self._offsets[site] + block * layout.block_bytes, 0, xxhash.xxh3_64()
            )
            for site, layout in self._layouts.items()
            for block, number in enumerate(layout.numbers)
        }

    def write(self, site: str, block: int, rows: int, buffers: Sequence[npt.NDArray[Any]]) -> None:
        """Append ``rows`` tokens to a block.

        They are the bytes of ``buffers``, C-contiguous, in the site's stored dtype.

        block: its layer or depth, 0 for a site that has neither.
        """
        if not rows:
            return
        layout, state = self._layouts[site], self._blocks[site, block]
        views = [buffer.data.cast("B") for buffer in buffers]
        given = sum(len(view) for view in views)
        if given != rows * layout.row_bytes or state.rows + rows > layout.block_shape[0]:
            raise ValueError(
                f"{site}[{block}]: {given} bytes for {rows} tokens of {layout.row_bytes} bytes"
            )
        for view in views:
            state.hash.update(view)
        with self._once():
            _write_all(self._descriptor, views, state.offset + state.rows * layout.row_bytes)
        state.rows += rows

    def flush(self) -> None:
        """Start and wait for the disk to take what was written so far.

        Harmless beside ``write``.
        """
        with self._once():
            os.fdatasync(self._descriptor) if hasattr(os, "fdatasync") else os.fsync(
                self._descriptor
            )

    @contextmanager
    def _once(self) -> Iterator[None]:
        """Name the file in an OSError, and raise the first of them again at every later call."""
        if self._error is not None:
            raise OSError(
                self._error.errno, self._error.strerror, self._error.filename
            ) from self._error
        try:
            with naming(self.path):
                yield
        except OSError as error:
            self._error = self._error or error
            raise

    def finish(self) -> ShardRecord:
        """Check that every row came, and return what is to be said of the file."""
        with self._once():
            short = [
                key
                for key, state in self._blocks.items()
                if state.rows != self._layouts[key[0]].block_shape[0]
            ]
            if short:
                raise ValueError(f"blocks not written to the end: {short[:3]}, {len(short)} in all")
            sites = {
                site: StoredSite(layout, self._offsets[site], tuple(self._digests(layout)))
                for site, layout in self._layouts.items()
            }
            spans = [
                *data_spans_of(sites, self._labels),
                *column_spans(self._columns, self._given.counts),
            ]
            checksum = metadata_checksum_of(self._descriptor, self.size, spans)
        return ShardRecord(
            self.size, sites, self._labels, checksum, self._columns, self._given.kept
        )

    def close(self, tail: bytes) -> None:
        """Write ``tail``, the file's copy of its record, behind the HDF5 part.

        Sync the file and close it.
        """
        with self._once():
            _write_all(self._descriptor, [memoryview(tail)], self.size)
            os.fsync(self._descriptor)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _digests(self, layout: SiteLayout) -> Iterable[str]:
        return (self._blocks[layout.site, number].hash.hexdigest() for number in layout.numbers)

    def drop(self) -> None:
        """Close and remove an unfinished file; nothing happens to one that was closed."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):  # of a file that nobody wants
                os.close(descriptor)
            with suppress(OSError):  # what stays goes with the writer's folder
                self.path.unlink()


def _write_all(descriptor: int, views: list[memoryview], offset: int) -> None:
    """Write every byte of ``views``, one after the other, from ``offset``.

    The system may take fewer at a time.
    """
    while views:
        written = os.pwritev(descriptor, views[:IOV_MAX], offset)
        offset += written
        done = 0
        while done < len(views) and written >= len(views[done]):
            written -= len(views[done])
            done += 1
        views = views[done:]
        if views and written:
            views[0] = views[0][written:]


def _no_room(folder: Path, needed: int, error: OSError) -> StoreError:
    return StoreError(
        f"cannot reserve {_mb(needed)} in {folder}: {error.strerror or error}: make room or use "
        "another --store"
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
