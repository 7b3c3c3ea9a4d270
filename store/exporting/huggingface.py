"""Datasets of Hugging Face: Arrow files, a state and an info, as ``Dataset.save_to_disk`` leaves.

``hf`` has a row a token. ``saelens`` has a row for each N consecutive tokens, as SAELens caches
activations: ``<hook name>`` (N, d_in) and ``token_ids``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.store.errors import UsageError
from actlas.store.exporting.content import (
    LARGEST_FILE,
    RECORD,
    Column,
    Content,
    missing_library,
    widened,
)
from actlas.store.exporting.tables import AT_ONCE, arrow, tables
from actlas.store.format.schema import canonical, checksum

TOKEN_IDS = "token_ids"  # SAELens' name


def write_rows(content: Content, folder: Path, largest: int = LARGEST_FILE) -> None:
    """Write a dataset with a row a token: labels, ``text``, ``mlp_post.3`` … as lists."""
    datasets = _datasets("hf")
    found = tables(content, "hf")
    first = next(found)
    features = datasets.Features.from_arrow_schema(first.schema)
    _save(content, folder, features, _chain(first, found), largest)


def write_contexts(
    content: Content,
    folder: Path,
    hook: str,
    size: int,
    name: str | None = None,
    largest: int = LARGEST_FILE,
) -> int:
    """Write a dataset with a row for each ``size`` consecutive tokens of a sentence.

    Return how many tokens are left out: those behind the last whole row of their sentence.
    hook: the name of the column. name: the column that is copied, where there are others. Raises
    UsageError for more than one column, or where no sentence has so many tokens.
    """
    columns = [each for each in content.columns if name in (None, each.name)]
    if len(columns) != 1:
        names = ", ".join(column.name for column in columns[:3])
        raise UsageError(
            f"--format saelens takes one site at one layer, got {len(columns)} ({names} …): "
            "give --site and --layers"
        )
    column = columns[0]
    starts = context_starts(content.plan.labels.token, size)
    if not len(starts):
        longest = int(content.plan.labels.row_size.max())
        raise UsageError(
            f"no sentence has {size} tokens, the longest has {longest}: give a smaller "
            "--context-size"
        )
    datasets, pa = _datasets("saelens"), arrow("saelens")
    width = int(np.prod(column.shape, dtype=np.int64))
    dtype = "float16" if column.layout.dtype == "float16" else "float32"
    shaped = datasets.Array2D(shape=(size, width), dtype=dtype)
    features = datasets.Features(
        {hook: shaped, TOKEN_IDS: datasets.List(datasets.Value("int32"), length=size)}
    )
    rows = _contexts(pa, content, column, starts, size, features.arrow_schema)
    _save(content, folder, features, rows, largest)
    return content.tokens - size * len(starts)


def context_starts(labels: Any, size: int) -> npt.NDArray[np.int64]:
    """Return the first token of each row of ``size`` tokens.

    labels: ``sentence`` and ``position``, (token,). Rows do not go over the end of a sentence, nor
    over tokens that were left out of it.
    """
    sentence, position = labels["sentence"], labels["position"]
    begins = np.ones(len(sentence), dtype=bool)
    begins[1:] = (np.diff(sentence) != 0) | (np.diff(position) != 1)
    firsts = np.flatnonzero(begins)
    ends = np.append(firsts[1:], len(sentence))
    found = [np.arange(a, b - size + 1, size) for a, b in zip(firsts, ends, strict=True)]
    return np.concatenate([np.empty(0, np.int64), *found])


def _contexts(
    pa: Any,
    content: Content,
    column: Column,
    starts: npt.NDArray[np.int64],
    size: int,
    schema: Any,
) -> Iterator[Any]:
    ids = content.plan.labels.token["token_id"]
    step = max(1, AT_ONCE // (size * max(1, column.layout.row_bytes)))
    first = 0
    for rows in content.blocks(column):
        here = starts[(starts >= first) & (starts < first + len(rows))]
        for begin in range(0, len(here), step):
            some = here[begin : begin + step]
            tokens = some[:, np.newaxis] + np.arange(size)  # (row, token)
            values = widened(rows[tokens - first]).reshape(len(some), size, -1)
            arrays = [_array2d(pa, values, schema.field(0).type), _lists(pa, ids[tokens])]
            yield pa.Table.from_arrays(arrays, schema=schema)
        first += len(rows)


def _array2d(pa: Any, values: npt.NDArray[Any], kind: Any) -> Any:
    """Return (row, token, feature) as the extension type of ``datasets.Array2D``."""
    rows, size, width = values.shape
    inner = np.arange(0, rows * size * width + 1, width, dtype=np.int32)
    outer = np.arange(0, rows * size + 1, size, dtype=np.int32)
    numbers = pa.ListArray.from_arrays(inner, pa.array(np.ascontiguousarray(values).reshape(-1)))
    return pa.ExtensionArray.from_storage(kind, pa.ListArray.from_arrays(outer, numbers))


def _lists(pa: Any, values: npt.NDArray[Any]) -> Any:
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1]
    )


def _save(content: Content, folder: Path, features: Any, rows: Iterator[Any], largest: int) -> None:
    """Write Arrow files of ``rows``, and what says that the folder is a dataset."""
    import pyarrow as pa
    from datasets import DatasetInfo

    names: list[str] = []
    schema = features.arrow_schema
    stream: Any = None
    written = 0
    try:
        for table in rows:
            if stream is None or written + table.nbytes > largest:
                if stream is not None:
                    stream.close()
                names.append(f"data-{len(names):05d}.arrow")
                stream, written = pa.ipc.new_stream(folder / names[-1], schema), 0
            stream.write_table(table.cast(schema))
            written += table.nbytes
    finally:
        if stream is not None:
            stream.close()
    record = canonical(content.record)
    DatasetInfo(description=record.decode(), features=features).write_to_directory(str(folder))
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": checksum(record + repr(features).encode()),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (folder / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    (folder / RECORD).write_bytes(record + b"\n")


def _chain(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _datasets(kind: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise missing_library("datasets", kind) from error
    return datasets
