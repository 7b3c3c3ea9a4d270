"""Objects on the web: their size and version, their bytes by ranges, through fsspec.

The first look at an object fixes its version (ETag); later ranges ask for that one, so that what
changes under way is an error and never a mixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from actlas.store.errors import DamagedStore, StoreError, UsageError

WINDOW = 64 << 10  # bytes that are asked for at least: small ranges lie near each other
MOST_WINDOWS = 64  # that are kept
SECONDS = 60  # without an answer
CHANGED = "changed while it was read: open the store again"
REFUSED = (401, 403)
GONE = (404, 410)


@dataclass(frozen=True)
class Known:
    """An object as it was when it was first seen."""

    size: int
    etag: str
    file: Any  # of fsspec; its ``cache.fetcher`` reads a range of this version, in any thread


_KNOWN: dict[tuple[int, str], Known] = {}  # by process: connections do not survive a fork
_WINDOWS: dict[tuple[str, str, int], bytes] = {}
_FETCHED: dict[str, bytes] = {}  # small objects that were asked for together, until they are read
_LOCK = Lock()


def filesystem(url: str) -> Any:
    """Return fsspec's file system for a URL; raises UsageError where a library is missing."""
    scheme = url.partition(":")[0]
    try:
        import fsspec

        if scheme == "s3":
            return fsspec.filesystem("s3", use_listings_cache=False)
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=SECONDS, sock_read=SECONDS)
        return fsspec.filesystem("http", client_kwargs={"timeout": timeout})
    except ImportError as error:
        raise UsageError(f'{url} needs {error.name}: pip install "actlas[remote]"') from error


def whole(url: str, largest: int) -> bytes:
    """Return all bytes of a small object; raises FileNotFoundError, StoreError."""
    content = _FETCHED.pop(url, None)
    if content is None:
        size = known(url).size
        if size > largest:
            raise DamagedStore(f"{url} has {size} bytes, no record has more than {largest}")
        with failures(url):
            content = bytes(filesystem(url).cat_file(url))
    if len(content) > largest:
        raise DamagedStore(f"{url} has {len(content)} bytes, no record has more than {largest}")
    return content


def fetch_together(urls: Sequence[str]) -> None:
    """Ask for several small objects at once; ``whole`` has them then. Missing ones are left."""
    if len(urls) > 1:
        with failures(urls[0]):
            _FETCHED.update(filesystem(urls[0]).cat(list(urls), on_error="omit"))


def known(url: str) -> Known:
    """Return size and version of an object, asked for once; raises FileNotFoundError."""
    key = os.getpid(), url
    found = _KNOWN.get(key)
    if found is None:
        with failures(url):
            found = _KNOWN[key] = _of_s3(url) if url.startswith("s3:") else _of_http(url)
    return found


def forget(url: str) -> None:
    """Let objects below ``url`` be looked at again."""
    with _LOCK:
        for key in [key for key in _KNOWN if key[1].startswith(url)]:
            del _KNOWN[key]
        for place in [place for place in _WINDOWS if place[0].startswith(url)]:
            del _WINDOWS[place]
        for name in [name for name in _FETCHED if name.startswith(url)]:
            del _FETCHED[name]


def ranged(url: str, offset: int, count: int) -> bytes:
    """Return bytes of an object in one request; raises FileNotFoundError, StoreError.

    Fewer come where the object ends, as with ``os.pread``.
    """
    found = known(url)
    end = min(offset + count, found.size)
    if end <= offset:
        return b""
    with failures(url):
        content = bytes(found.file.cache.fetcher(offset, end))
    if len(content) != end - offset:
        raise StoreError(f"{url}: asked for {end - offset} bytes, got {len(content)}: try again")
    return content


def pread(url: str, count: int, offset: int) -> bytes:
    """Return bytes as ``ranged`` does; small ones that lie near each other come in one request."""
    if count > WINDOW:
        return ranged(url, offset, count)
    start = offset - offset % WINDOW
    content = _window(url, start)
    if offset + count > start + WINDOW:
        content += _window(url, start + WINDOW)
    return content[offset - start : offset - start + count]


def _window(url: str, start: int) -> bytes:
    key = url, known(url).etag, start
    content = _WINDOWS.get(key)
    if content is None:
        content = ranged(url, start, WINDOW)
        with _LOCK:
            while len(_WINDOWS) >= MOST_WINDOWS:
                del _WINDOWS[next(iter(_WINDOWS))]
            _WINDOWS[key] = content
    return content


def _of_http(url: str) -> Known:
    files = filesystem(url)
    info = files.info(url)
    if info.get("size") is None or not info.get("partial", True):
        raise StoreError(_no_ranges(url))
    etag = str(info.get("ETag") or "")
    headers = {"Accept-Encoding": "identity"}
    if etag and not etag.startswith("W/"):  # a weak one does not speak of bytes
        headers["If-Match"] = etag
    file = files.open(url, "rb", cache_type="none", size=max(info["size"], 1), headers=headers)
    return Known(int(info["size"]), etag or str(info.get("Last-Modified", "")), file)


def _of_s3(url: str) -> Known:
    file = filesystem(url).open(url, "rb", cache_type="none")  # reads by If-Match
    return Known(int(file.size), str(file.details.get("ETag", "")), file)


def _no_ranges(url: str) -> str:
    return f"{url}: its server gives no ranges of bytes, only whole files: copy it to a disk"


@contextmanager
def failures(url: str) -> Iterator[None]:
    """Turn what libraries raise into one line; FileNotFoundError stays where nothing is there."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        said = _said(url, error)
        if said is None:
            raise
        raise said from error


def _said(url: str, error: BaseException) -> Exception | None:
    """Return the error to raise instead, None for one that is a bug."""
    kind, before = type(error).__name__, error.__cause__
    status = getattr(error, "status", None)
    of_http = isinstance(error, FileNotFoundError) and url.startswith("http")
    if of_http and before is not None:
        # fsspec says so of all that goes wrong at the first look
        return _said(url, before) or FileNotFoundError(url)
    if kind == "FileExpired" or status in (412, 416):
        forget(url)
        return StoreError(f"{url} {CHANGED}")
    if isinstance(error, FileNotFoundError) or status in GONE:
        return FileNotFoundError(url)
    if isinstance(error, PermissionError) or status in REFUSED:
        return StoreError(f"{url}: access is refused: see to the credentials, or make it readable")
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return StoreError(
            f"{url}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "FSSPEC_S3_ANON=true for a public bucket"
        )
    if isinstance(error, ValueError) and "range requests" in str(error):
        return StoreError(_no_ranges(url))
    return _of_connection(url, error, status)


def _of_connection(url: str, error: BaseException, status: int | None) -> StoreError | None:
    module = type(error).__module__.partition(".")[0]
    ours = isinstance(error, OSError | TimeoutError) or module in ("aiohttp", "botocore", "fsspec")
    if not ours:
        return None
    reason = f"the server answers {status}" if status else " ".join(str(error).split())
    return StoreError(f"{url} cannot be read ({reason or type(error).__name__}): try again")
