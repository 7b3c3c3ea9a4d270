"""A model's weight files and their digest: of the tensors themselves, so that sharding, file names and prefixes do not matter.

Reads safetensors files as bytes; neither torch nor the whole model is loaded. The digest of an unchanged file is remembered
by path, size and times of change in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import operator
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import xxhash

from actlas.store.errors import UsageError

HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors format itself
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
#: causal masks that old checkpoints carry
NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias")
PREFIX = "transformer."
#: the family ties the one to the other
HEAD, EMBEDDING = "lm_head.weight", "wte.weight"

Tensor = tuple[str, str]  # name, digest of its dtype, shape and bytes


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers loads from ``folder``, and no others.

    Raises UsageError where weights are missing or only pickled.
    """
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{folder} is an adapter: merge it into its model and save that")
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        names = _indexed(index)
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise UsageError(f"{folder}: weight file {missing[0]} of its index is missing: copy the whole folder")
        return [folder / name for name in names]
    if pickled := [path.name for pattern in PICKLED for path in sorted(folder.glob(pattern))]:
        raise UsageError(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when loaded: "
            "save the model as safetensors, `model.save_pretrained(folder, safe_serialization=True)`"
        )
    others = "".join(f", found {path.name}" for path in sorted(folder.glob("*.safetensors"))[:1])
    raise UsageError(f"{folder} has no weights: wanted model.safetensors or model.safetensors.index.json{others}")


def _indexed(index: Path) -> list[str]:
    """Return the files that an index names; raises UsageError for one that is no index or names files elsewhere."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{index} is no index of weights: copy it again") from error
    if bad := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
        raise UsageError(f"{index} names {bad[0]!r}, which is no file beside it: copy it again")
    return names


def weights_digest(files: list[Path], *, tied: bool) -> str:
    """Return the digest of all tensors of safetensors ``files``; with ``tied``, ``lm_head.weight`` is no weight of its own.

    Raises UsageError naming a file that is no safetensors file, and for a tied head that is not the embedding: transformers
    before version 5 would use the embedding in its place, later ones the head.
    """
    weights = {
        name.removeprefix(PREFIX): digest
        for file in files
        for name, digest in _remembered(file)
        if not name.endswith(NOT_WEIGHTS)
    }
    if tied and HEAD in weights and weights.setdefault(EMBEDDING, weights[HEAD]) != weights.pop(HEAD):
        raise UsageError(
            f"{files[0].parent}: {HEAD} is not the embedding {EMBEDDING}, but config.json ties them: "
            "set tie_word_embeddings to false there, or save the model again"
        )
    return "xxh3:" + hashlib.sha256(json.dumps(sorted(weights.items())).encode()).hexdigest()[:32]


def _remembered(file: Path) -> list[Tensor]:
    """Return the tensors of ``file``, from the cache where path, size and times of change are known.

    Two times, because tools that copy or unpack files set the first to what it was elsewhere.
    """
    status = file.stat()
    key = json.dumps([str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "actlas" / "weights"
    entry = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record = json.loads(entry.read_bytes())
        if record["key"] == key:
            return [(name, digest) for name, digest in record["tensors"]]
    tensors = list(_tensors(file))
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        folder.mkdir(parents=True, exist_ok=True)
        draft = entry.with_suffix(f".{secrets.token_hex(4)}")
        draft.write_text(json.dumps({"key": key, "tensors": tensors}))
        draft.replace(entry)
    return tensors


def _tensors(file: Path) -> Iterator[Tensor]:
    """Yield name and digest of each tensor: 8 bytes of header length, JSON header, then the bytes it points to."""
    with file.open("rb") as opened:
        begin, header = _header(file, opened)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            for name, (dtype, shape, start, end) in header.items():
                if not 0 <= start <= end <= len(view) - begin:
                    raise UsageError(f"{file}: tensor {name!r} lies outside the file: it is cut short, copy or save it again")
                digest = xxhash.xxh3_128(json.dumps([dtype, shape]).encode())
                with view[begin + start : begin + end] as part:
                    digest.update(part)
                yield name, digest.hexdigest()


def _header(file: Path, opened: BinaryIO) -> tuple[int, dict[str, tuple[str, list[int], int, int]]]:
    """Return where the tensors' bytes begin, and name → dtype, shape, start and end of each."""
    length = int.from_bytes(opened.read(8), "little")
    try:
        if not 0 < length <= HEADER_LIMIT:
            raise ValueError(length)
        header = json.loads(opened.read(length))
        if not isinstance(header, dict):
            raise TypeError(header)
        header.pop("__metadata__", None)
        places = {}
        for name, tensor in header.items():
            start, end = map(operator.index, tensor["data_offsets"])
            places[name] = (str(tensor["dtype"]), list(map(operator.index, tensor["shape"])), start, end)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{file} is not a safetensors file (no readable header): copy or save it again") from error
    return 8 + length, places
