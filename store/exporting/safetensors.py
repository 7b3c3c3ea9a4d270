"""safetensors: a file for each site and layer, in parts where it is large.

The format is a length, a header in JSON and the bytes of the tensors, one after the other, so it is
written in one pass, a block at a time, and takes no library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actlas.store.exporting.content import LARGEST_FILE, RECORD, Column, Content
from actlas.store.format.schema import canonical

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
LABELS = ("token_id", "sentence", "position")
LABEL_BYTES = 4 * len(LABELS)
ALIGNED = 64  # of the first tensor in the file, so that it can be mapped


def write(content: Content, folder: Path, largest: int = LARGEST_FILE) -> None:
    """Write ``<site>.<layer>.safetensors``, in numbered parts of at most ``largest`` bytes.

    Each has ``activations`` (token, …) in the stored dtype, ``token_id``, ``sentence`` and
    ``position`` int32 (token,); its metadata say run, site, layer, digest and first token.
    """
    for column in content.columns:
        per_file = max(1, (largest - ALIGNED * 64) // (column.layout.row_bytes + LABEL_BYTES))
        parts = range(0, content.tokens, per_file)
        blocks = _cut(content.blocks(column), per_file)
        for number, first in enumerate(parts):
            part = f"-{number + 1:05d}-of-{len(parts):05d}" if len(parts) > 1 else ""
            count = min(per_file, content.tokens - first)
            with (folder / f"{column.name}{part}.safetensors").open("xb") as file:
                file.write(_header(content, column, first, count))
                left = count
                while left:
                    rows = next(blocks)
                    file.write(np.ascontiguousarray(rows).data)
                    left -= len(rows)
                for name in LABELS:
                    label = content.plan.labels.token[name][first : first + count]
                    file.write(np.ascontiguousarray(label, dtype="<i4").data)
    (folder / RECORD).write_bytes(canonical(content.record) + b"\n")


def _cut(blocks: Iterator[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[Any]]:
    """Yield the rows of ``blocks`` in pieces of which none goes over a multiple of ``size``."""
    room = size
    for rows in blocks:
        while len(rows):
            piece, rows = rows[:room], rows[room:]
            room = size if len(piece) == room else room - len(piece)
            yield piece


def _header(content: Content, column: Column, first: int, count: int) -> bytes:
    dtype = DTYPES[column.layout.dtype]
    tensors: dict[str, Any] = {}
    at = 0
    sizes = {"activations": column.layout.row_bytes * count, **dict.fromkeys(LABELS, 4 * count)}
    for name, nbytes in sizes.items():
        shape = [count, *(column.shape if name == "activations" else ())]
        kind = dtype if name == "activations" else "I32"
        tensors[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + nbytes]}
        at += nbytes
    said = {**content.described(column), "first_token": str(first)}
    text = json.dumps({"__metadata__": said, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNED)  # the format allows spaces behind
    return len(text).to_bytes(8, "little") + text
