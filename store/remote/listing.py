"""What lies in a folder on the web. S3 lists; plain HTTP does not, so a store has an index there.

``index.json``, which ``actlas index`` writes, is a sealed record with the path and bytes of every
file of the store. A store that grew since has more than its index says, and is read as it was.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from actlas.store.errors import DamagedStore, StoreError, UsageError
from actlas.store.format.schema import unseal
from actlas.store.remote import objects

INDEX = "index.json"
FORMAT_INDEX = "actlas-index"
LARGEST_INDEX = 64 << 20  # bytes
TOGETHER = ("names", "commits", "packed", "labels")  # folders of small files that are all read
SMALL = 4 << 20  # bytes of such a file


@dataclass(frozen=True)
class Index:
    """The files of a store on a plain web server: path below the store → bytes."""

    root: str
    files: dict[str, int]

    @cached_property
    def folders(self) -> dict[str, list[str]]:
        """Folder → what is directly in it, sorted."""
        found: dict[str, set[str]] = defaultdict(set)
        for path in self.files:
            parts = path.split("/")
            for depth, part in enumerate(parts):
                found["/".join(parts[:depth])].add(part)
        return {folder: sorted(names) for folder, names in found.items()}


_INDEXES: dict[str, Index] = {}


def open_root(url: str) -> None:
    """Look again at the store at ``url``; raises UsageError where none is there."""
    objects.forget(url)
    if not url.startswith("s3:"):
        _INDEXES[url] = _read(url)


def size_of(url: str) -> int | None:
    """Return the bytes of an object, None where there is none."""
    index = _index_of(url)
    if index is not None:
        return index.files.get(_below(index, url))
    try:
        return objects.known(url).size
    except FileNotFoundError:
        return None


def names_in(url: str) -> list[str]:
    """Return the names of what is directly below ``url``, sorted; none where nothing is."""
    index = _index_of(url)
    if index is not None:
        return index.folders.get(_below(index, url), [])
    if not url.startswith("s3:"):
        return []
    try:
        with objects.failures(url):
            found = objects.filesystem(url).ls(url, detail=False, refresh=True)
    except FileNotFoundError:
        return []
    names = {each.rstrip("/").rpartition("/")[2] for each in found}
    return sorted(names - {""})


def record(url: str, largest: int) -> bytes:
    """Return the content of a small object.

    Raises FileNotFoundError, DamagedStore where an index has what its server has not.
    """
    try:
        return objects.whole(url, largest)
    except FileNotFoundError as error:
        if _index_of(url) is not None and size_of(url) is not None:
            raise stale(url) from error
        raise


def read_soon(url: str, names: list[str]) -> None:
    """Ask for the files of a folder of records at once, because all of them are read next."""
    if url.rpartition("/")[2] in TOGETHER:
        small = [f"{url}/{name}" for name in names if not name.endswith(".h5")]
        objects.fetch_together(small)


def _index_of(url: str) -> Index | None:
    """Return the index of the store that a URL is in, None of what is in none, such as an export.

    A process that got a path from another reads the index itself.
    """
    if url.startswith("s3:"):
        return None
    parts = url.split("/")
    for end in range(len(parts), 2, -1):
        index = _INDEXES.get("/".join(parts[:end]))
        if index is not None:
            return index
    if "runs" not in parts:
        return None
    root = "/".join(parts[: parts.index("runs")])
    open_root(root)
    return _INDEXES[root]


def _below(index: Index, url: str) -> str:
    return url.removeprefix(index.root).strip("/")


def _read(url: str) -> Index:
    place = f"{url}/{INDEX}"
    try:
        record = unseal(objects.whole(place, LARGEST_INDEX), place, FORMAT_INDEX)
    except FileNotFoundError as error:
        raise UsageError(
            f"{place} is not there: expected the URL of a store in which `actlas index` was run"
        ) from error
    files = record.get("files")
    if not isinstance(files, dict) or any(type(size) is not int for size in files.values()):
        raise DamagedStore(f"{place} does not list files: run `actlas index` there again")
    return Index(url, files)


def stale(url: str) -> StoreError:
    """Return the error for a file that an index has and its server has not."""
    return DamagedStore(
        f"{url} is not there any more: run `actlas index` again where the store lies, then open "
        "it again"
    )
