"""Parquet: rows of tokens with their labels and activations, a file for each 2 GB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actlas.store.exporting.content import LARGEST_FILE, RECORD, Content
from actlas.store.exporting.tables import arrow, tables
from actlas.store.format.schema import canonical

KIND = "parquet"


def write(content: Content, folder: Path, largest: int = LARGEST_FILE) -> None:
    """Write ``part-00000.parquet`` …; ``pandas.read_parquet(folder)`` reads all of them.

    Activations are lists of float32 or float16 a token, heads one after the other, named as
    ``mlp_post.3``. What they are of stands in the schema's metadata, ``actlas``.
    """
    arrow(KIND)
    import pyarrow.parquet as pq

    said = {b"actlas": canonical(content.record)}
    writer: Any = None
    number = written = 0
    try:
        for table in tables(content, KIND):
            if writer is not None and written + table.nbytes > largest:
                writer.close()
                writer, number, written = None, number + 1, 0
            if writer is None:
                schema = table.schema.with_metadata(said)
                writer = pq.ParquetWriter(folder / f"part-{number:05d}.parquet", schema)
            writer.write_table(table.cast(writer.schema))
            written += table.nbytes
    finally:
        if writer is not None:
            writer.close()
    # a name with a dot or underscore first is no data to those who read the folder
    (folder / f"_{RECORD}").write_bytes(said[b"actlas"] + b"\n")
