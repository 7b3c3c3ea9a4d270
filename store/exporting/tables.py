"""Rows of all columns and labels as Arrow tables, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actlas.store.exporting.content import Content, missing_library, widened

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 64 << 20  # bytes of rows that become one table


def arrow(kind: str) -> Any:
    """Import pyarrow; raises UsageError, naming the extra, where it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise missing_library("pyarrow", kind) from error
    return pyarrow


def tables(content: Content, kind: str) -> Iterator[pa.Table]:
    """Yield tables with a row a token: labels, ``text``, and each column as a list of numbers."""
    pa = arrow(kind)
    width = sum(column.layout.row_bytes for column in content.columns)
    step = max(1, AT_ONCE // width)
    first = 0
    for index, unit in enumerate(content.plan.units):
        blocks = [content.block(index, column) for column in content.columns]
        for row in range(0, unit.tokens, step):
            last = min(row + step, unit.tokens)
            rows = slice(first + row, first + last)
            arrays = {name: pa.array(values[rows]) for name, values in content.token_labels.items()}
            arrays["text"] = pa.array(content.text(rows.start, rows.stop), pa.string())
            for column, block in zip(content.columns, blocks, strict=True):
                arrays[column.name] = lists(pa, block[row:last])
            yield pa.table(arrays)
        first += unit.tokens


def lists(pa: Any, rows: npt.NDArray[Any]) -> Any:
    """Return rows (token, …) as lists of one length; of one number a token the numbers."""
    flat = pa.array(np.ascontiguousarray(widened(rows)).reshape(-1))
    width = int(np.prod(rows.shape[1:], dtype=np.int64))
    return flat if rows.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, width)
