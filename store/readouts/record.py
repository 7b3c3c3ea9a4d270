"""The record of a readout: what its arrays are and where they lie, sealed behind its HDF5 part.

A readout belongs to a model, not to a run: ``readouts/<weights>-<config>.h5`` has the final norm,
the unembedding and the words; ``…-heads.h5`` the output matrices of attention; ``…-neurons.h5``
those of MLPs. None changes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actlas.store.errors import DamagedStore, quoted
from actlas.store.format.schema import FORMAT_VERSION, Json, seal, unseal
from actlas.store.format.tail import read_tail, tail_bytes
from actlas.store.io.safe_open import LARGEST_RECORD, opened

FOLDER = "readouts"
FORMAT_READOUT = "actlas-weight"
REMEDY = "`actlas readout` with its model makes it again"
Part = Literal["output", "heads", "neurons"]
ENDINGS: Mapping[Part, str] = {"output": "", "heads": "-heads", "neurons": "-neurons"}
NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}(-heads|-neurons)?\.h5")
#: as the record calls a dtype → how NumPy sees its bytes; bfloat16 is the upper half of a float32
VIEWS: Mapping[str, str] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int32": "<i4",
    "bytes": "|S1",
}
#: arrays that each part cannot do without
NEEDED: Mapping[Part, tuple[str, ...]] = {
    "output": ("unembed", "vocabulary_length", "vocabulary_bytes"),
    "heads": ("w_o",),
    "neurons": ("w_out",),
}
FLOATS = ("float64", "float32", "float16", "bfloat16")
#: array → its dims; a file with another is of a later version
DIMS: Mapping[str, tuple[str, ...]] = {
    "gain": ("d_model",),
    "shift": ("d_model",),
    "unembed": ("vocabulary", "d_model"),
    "unembed_bias": ("vocabulary",),
    "vocabulary_length": ("vocabulary",),
    "vocabulary_bytes": ("character",),
    "transform": ("d_model_out", "d_model"),
    "transform_bias": ("d_model_out",),
    "w_o": ("layer", "head", "d_head", "d_model"),
    "b_o": ("layer", "d_model"),
    "w_out": ("layer", "d_mlp", "d_model"),
    "b_out": ("layer", "d_model"),
    "norm_gain": ("layer", "d_model"),
}
KINDS: Mapping[str, tuple[str, ...]] = {
    "vocabulary_length": ("int32",),
    "vocabulary_bytes": ("bytes",),
}
CHECKSUM = re.compile(r"[0-9a-f]{16}")
MOST_ARRAYS = 32
HDF5 = 8  # bytes of its signature


@dataclass(frozen=True)
class StoredArray:
    """An array of a readout: its dims, where it lies in the file, the XXH3-64 of its bytes."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str  # of VIEWS
    offset: int
    checksum: str

    @property
    def nbytes(self) -> int:
        """Bytes of the array, in Python's integers, which do not overflow."""
        return math.prod(self.shape) * np.dtype(VIEWS[self.dtype]).itemsize

    @property
    def span(self) -> tuple[int, int]:
        """Start and end in the file."""
        return self.offset, self.offset + self.nbytes


@dataclass(frozen=True)
class ReadoutRecord:
    """What a readout says of itself.

    model: ``family``, ``weights``, ``config``, as in the specification of a run. facts: numbers and
    names beside the arrays. size: bytes of the HDF5 part.
    """

    part: Part
    model: Json
    facts: Json
    arrays: Mapping[str, StoredArray]
    size: int
    metadata_checksum: str

    def tail(self) -> bytes:
        """Return what stands behind the HDF5 part; of equal weights it is equal."""
        arrays = {name: asdict(array) for name, array in self.arrays.items()}
        record = {**vars(self), "arrays": arrays}
        sealed = seal({"format": FORMAT_READOUT, "version": FORMAT_VERSION, **record})
        return tail_bytes(sealed, FORMAT_READOUT)


def file_name(model: Mapping[str, Any], part: Part = "output") -> str:
    """Return the name of the readout of a model, by the digests of its weights and configuration.

    model: as in the specification of a run. Raises KeyError or TypeError for what is none.
    """
    weights = str(model["weights"]).removeprefix("xxh3:")
    return f"{weights}-{str(model['config'])[:8]}{ENDINGS[part]}.h5"


def read_readout(path: Path) -> tuple[ReadoutRecord, int]:
    """Return the record of a readout, and the bytes of its file.

    Raises FileNotFoundError, and DamagedStore for one that is altered, cut or renamed.
    """
    with opened(path) as (descriptor, found):
        tail = read_tail(partial(os.pread, descriptor), found.st_size, LARGEST_RECORD)
        size = found.st_size
    if tail is None or tail.kind != FORMAT_READOUT:
        raise DamagedStore(f"{path} does not end as a readout does: it was cut short: {REMEDY}")
    header = unseal(tail.sealed, str(path), FORMAT_READOUT)
    try:
        record = _parsed(header)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedStore(
            f"{path} has a record that is not valid ({str(error)[:200]}): {REMEDY}"
        ) from error
    if record.size != tail.start:
        raise DamagedStore(
            f"{path} has {tail.start} bytes before its record, expected {record.size}: {REMEDY}"
        )
    expected = file_name(record.model, record.part)
    if path.name != expected:
        raise DamagedStore(f"{path} is the readout {expected}: it was renamed: {REMEDY}")
    return record, size


def _parsed(header: Json) -> ReadoutRecord:
    fields = {name: value for name, value in header.items() if name not in ("format", "version")}
    arrays = {name: _array(each) for name, each in fields.pop("arrays").items()}
    record = ReadoutRecord(arrays=arrays, **fields)
    if record.part not in ENDINGS or not isinstance(record.facts, dict):
        raise ValueError(f"part {quoted(record.part)}")
    if not isinstance(record.model, dict) or not NAME.fullmatch(file_name(record.model)):
        raise ValueError("the digests of its model")
    if not CHECKSUM.fullmatch(record.metadata_checksum) or len(arrays) > MOST_ARRAYS:
        raise ValueError("a checksum, or too many arrays")
    if missing := [name for name in NEEDED[record.part] if name not in arrays]:
        raise ValueError(f"no array {missing[0]}")
    _check_places(record)
    return record


def _array(record: Json) -> StoredArray:
    dims, shape = tuple(map(str, record["dims"])), tuple(record["shape"])
    numbers = (*shape, record["offset"])
    if any(type(number) is not int or number < 0 for number in numbers) or len(dims) != len(shape):
        raise ValueError("a shape or an offset")
    if record["dtype"] not in VIEWS or not CHECKSUM.fullmatch(record["checksum"]):
        raise ValueError("a dtype or a checksum")
    return StoredArray(dims, shape, record["dtype"], record["offset"], record["checksum"])


def _check_places(record: ReadoutRecord) -> None:
    """Raise ValueError for arrays that overlap, lie outside, or whose dims disagree."""
    if type(record.size) is not int:
        raise ValueError("a size")
    spans = sorted(array.span for array in record.arrays.values())
    if spans[0][0] < HDF5 or spans[-1][1] > record.size:
        raise ValueError("an array outside the file")
    if any(one[1] > other[0] for one, other in pairwise(spans)):
        raise ValueError("arrays that overlap")
    sizes: dict[str, int] = {}
    for name, array in record.arrays.items():
        if array.dims != DIMS[name] or array.dtype not in KINDS.get(name, FLOATS):
            raise ValueError(f"dims or dtype of {name}")
        for dim, size in zip(array.dims, array.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                raise ValueError(f"the size of {dim} in {name}")
