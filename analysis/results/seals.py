"""The seal of a result: the record behind its netCDF part.

It says what the file is of and holds all of its checksums.

A record: {"format": "actlas-result", "version": 1, "name": "variance-her-1f2e3d4c", "question":
"…", "attributes": {"stage": …, "runs": …, "options": …, "software": …}, "size": 93044, "content":
XXH3-128 of the netCDF part, "files": {"variance-her-1f2e3d4c.svg": XXH3-128 of the file, …},
"checksum": XXH3-64 of the record}
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xxhash

from actlas.store.errors import ActlasError, DamagedStore, quoted
from actlas.store.format.schema import FORMAT_VERSION, Json, canonical, checksum, seal, unseal
from actlas.store.format.schema import REMEDY as STORE_REMEDY
from actlas.store.format.tail import read_tail, tail_bytes

FORMAT_RESULT = "actlas-result"
MOST_RECORD = 1 << 24  # bytes
REMEDY = "run the study, or the command that wrote it, again"
READ_BYTES = 1 << 22
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
ATTRIBUTES = ("stage", "runs", "options", "software")


class DamagedResult(ActlasError):
    """A result, or a file of it, is missing, altered, cut short or in another's place.

    The message names it.
    """


@dataclass(frozen=True)
class Seal:
    """What a result says of itself.

    name: of its file, without ``.nc``; question: digest of what it is of; attributes: stage, runs,
    options, software, as in the netCDF part; files: name → XXH3-128 of what lies beside it;
    checksum: of the record itself, and so of it all.
    """

    path: Path
    name: str
    question: str
    attributes: Mapping[str, str]
    files: Mapping[str, str]
    size: int
    content: str
    checksum: str

    @property
    def beside(self) -> Iterator[tuple[Path, str]]:
        """Yield path and XXH3-128 of the figures and of large results.

        Large ones are those that cannot be part of the result.
        """
        for name, digest in self.files.items():
            yield self.path.with_name(name), digest


def sealed_tail(
    name: str,
    question: str,
    attributes: Mapping[str, str],
    size: int,
    content: str,
    files: Mapping[str, str],
) -> bytes:
    """Return what stands behind the netCDF part of a result.

    That part has ``size`` bytes with the XXH3-128 ``content``.
    """
    record: Json = {
        "format": FORMAT_RESULT,
        "version": FORMAT_VERSION,
        "name": name,
        "question": question,
    }
    record |= {
        "attributes": dict(attributes),
        "size": size,
        "content": content,
        "files": dict(files),
    }
    return tail_bytes(seal(record), FORMAT_RESULT)


def read_seal(path: Path) -> Seal:
    """Return what a result says of itself, its last bytes alone read and checked.

    Raises DamagedResult.
    """
    with _opened(path) as (descriptor, size):
        tail = read_tail(partial(os.pread, descriptor), size, MOST_RECORD)
    if tail is None or tail.kind != FORMAT_RESULT:
        raise DamagedResult(
            f"{path} does not end as a result does: it was cut short, or made by something else: "
            f"{REMEDY}"
        )
    try:
        record = unseal(tail.sealed, str(path), FORMAT_RESULT)
    except (DamagedStore, RecursionError) as error:
        raise DamagedResult(f"{str(error).removesuffix(f': {STORE_REMEDY}')}: {REMEDY}") from error
    if record.get("size") != tail.start:
        raise DamagedResult(
            f"{path} has {tail.start} bytes before its record, expected "
            f"{quoted(record.get('size'))}: {REMEDY}"
        )
    found = _seal(path, record)
    if found.name != path.stem:
        raise DamagedResult(f"{path} was renamed or is in another's place: it is {found.name}.nc")
    return found


def ends_as_result(path: Path) -> bool:
    """Whether the last bytes of a file are those of a result."""
    ending = f" {FORMAT_RESULT}\n".encode()
    with _opened(path) as (descriptor, size):
        return os.pread(descriptor, len(ending), max(0, size - len(ending))) == ending


def check_result(path: Path) -> Seal:
    """Check every byte of a result and of the files that belong to it.

    Raises DamagedResult, which names the first bad one.
    """
    found = read_seal(path)
    for damage in damages(found):
        raise damage
    return found


def damages(found: Seal) -> Iterator[DamagedResult]:
    """Yield what is wrong with a result and with each file that belongs to it."""
    try:
        if file_digest(found.path, found.size) != found.content:
            yield DamagedResult(f"{found.path} was altered (checksum differs): {REMEDY}")
    except DamagedResult as error:
        yield error
    for file, digest in found.beside:
        try:
            if file_digest(file) != digest:
                yield DamagedResult(
                    f"{file} was altered, or is of another result than {found.path.name}: {REMEDY}"
                )
        except DamagedResult as error:
            yield error


def file_digest(path: Path, size: int | None = None) -> str:
    """Return the XXH3-128 of a file, or of its first ``size`` bytes.

    Raises DamagedResult where it cannot be read.
    """
    digest = xxhash.xxh3_128()
    with _opened(path) as (descriptor, whole):
        left = whole if size is None else size
        while left and (piece := os.read(descriptor, min(READ_BYTES, left))):
            digest.update(piece)
            left -= len(piece)
    return str(digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """Yield descriptor and size of a regular file.

    Raises DamagedResult where there is none or it cannot be read.
    """
    try:
        # a pipe in its place must not hang us
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DamagedResult(f"{path} is not a regular file: {REMEDY}")
            yield descriptor, found.st_size
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise DamagedResult(f"{path} is missing: {REMEDY}") from error
    except OSError as error:
        raise DamagedResult(
            f"{path} cannot be read ({error.strerror or error}): {REMEDY}"
        ) from error


def _seal(path: Path, record: Json) -> Seal:
    """Return a sealed record as what it stands for.

    Raises DamagedResult for one of another form.
    """
    name, question, content = (record.get(key) for key in ("name", "question", "content"))
    attributes, files = _texts(record.get("attributes")), _texts(record.get("files"))
    if not isinstance(name, str) or not isinstance(question, str) or not isinstance(content, str):
        raise _other_form(path)
    if attributes is None or files is None or not set(ATTRIBUTES) <= set(attributes):
        raise _other_form(path)
    own = (f"{name}.", f"{name}_")
    if not all(FILE_NAME.fullmatch(file) and file.startswith(own) for file in files):
        raise _other_form(path)
    own_checksum = checksum(canonical(record))
    return Seal(path, name, question, attributes, files, record["size"], content, own_checksum)


def _texts(value: object) -> dict[str, str] | None:
    """Return an object of JSON whose values are all text, None for anything else."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        return None
    return value


def _other_form(path: Path) -> DamagedResult:
    return DamagedResult(f"{path} has a record of another form than results have: {REMEDY}")
