"""Digest of a model's weights: of the tensors themselves, so that sharding, file names and prefixes do not matter.

Reads safetensors files as bytes; neither torch nor the whole model is loaded. The digest of an unchanged file is remembered
by path, size and time of change in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from actlas.store.errors import UsageError

HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors format itself
#: causal masks that old checkpoints carry, and the head, which the GPT-2 family ties to the embedding
NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias")
PREFIX = "transformer."

Tensor = tuple[str, str]  # name, digest of its dtype, shape and bytes


def weights_digest(files: list[Path], *, tied: bool) -> str:
    """Return the digest of all tensors of safetensors ``files``; with ``tied``, ``lm_head.weight`` is no weight of its own.

    Raises UsageError naming a file that is no safetensors file.
    """
    tensors = sorted(tensor for file in files for tensor in _remembered(file))
    own = [
        (name.removeprefix(PREFIX), digest)
        for name, digest in tensors
        if not name.endswith(NOT_WEIGHTS) and not (tied and name == "lm_head.weight")
    ]
    return "xxh3:" + hashlib.sha256(json.dumps(sorted(own)).encode()).hexdigest()[:32]


def _remembered(file: Path) -> list[Tensor]:
    """Return the tensors of ``file``, from the cache where path, size and time of change are known."""
    status = file.stat()
    key = json.dumps([str(file.resolve()), status.st_size, status.st_mtime_ns])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "actlas" / "weights"
    entry = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
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
        try:
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = json.loads(opened.read(length)) if length <= HEADER_LIMIT else {}
            header.pop("__metadata__", None)
        except (ValueError, AttributeError) as error:
            raise UsageError(f"{file} is not a safetensors file (no readable header): save the model again") from error
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            for name, tensor in header.items():
                start, end = (8 + length + offset for offset in tensor["data_offsets"])
                if not 8 + length <= start <= end <= len(view):
                    raise UsageError(f"{file}: tensor {name!r} lies outside the file: it is cut short, copy or save it again")
                digest = xxhash.xxh3_128(json.dumps([tensor["dtype"], tensor["shape"]]).encode())
                with view[start:end] as part:
                    digest.update(part)
                yield name, digest.hexdigest()
