"""``index.json`` of a store: what a plain web server cannot say, the names of its files."""

from __future__ import annotations

from pathlib import Path

from actlas.store.errors import StoreError
from actlas.store.format.run_record import FILE
from actlas.store.format.schema import FORMAT_VERSION, RUN_ID, seal
from actlas.store.io.replacing import replacing
from actlas.store.io.safe_open import is_file, listed
from actlas.store.remote.listing import FORMAT_INDEX, INDEX, LARGEST_INDEX

PARTS = ("commits", "packed", "shards", "labels", "names")  # of a run, that readers look into


def write_index(store: Path) -> int:
    """Write the index of the store at ``store``, an older one replaced; return how many files.

    Commits are read before shards are listed, so that each commit in it has its shard. Raises
    StoreError where there are too many files, OSError, with the path, where it cannot be written.
    """
    files = {"store.json": (store / "store.json").stat().st_size, **_sizes(store, "names")}
    for run in listed(store / "runs"):
        if RUN_ID.fullmatch(run.name) and (run / FILE).is_file():
            below = f"runs/{run.name}"
            files[f"{below}/{FILE}"] = (run / FILE).stat().st_size
            for part in PARTS:
                files |= _sizes(store, f"{below}/{part}")
    content = seal({"format": FORMAT_INDEX, "version": FORMAT_VERSION, "files": files})
    if len(content) > LARGEST_INDEX:
        raise StoreError(
            f"{len(files)} files are too many for an index: pack the runs first (`actlas pack`)"
        )
    with replacing(store) as drafts:
        drafts.add(INDEX, [content])
    return len(files)


def _sizes(store: Path, folder: str) -> dict[str, int]:
    """Return path below the store → bytes, of the files directly in a folder."""
    found = {}
    for path in listed(store / folder):
        try:
            if not path.name.startswith(".") and is_file(path):
                found[f"{folder}/{path.name}"] = path.stat().st_size
        except FileNotFoundError:  # packed or removed meanwhile
            continue
    return found
