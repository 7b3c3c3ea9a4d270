"""A model folder's tokenizer, as ``AutoTokenizer.from_pretrained(folder)`` gives it.

It runs in a process of its own.

Which tokenizer that is takes transformers a second to find out; it is remembered by the content of
all files that decide it, so that a stored run is recognised sooner. Neither needs torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from actlas.pipeline.inputs.tokenizer_files import files_digest, tokenizer_files
from actlas.store.errors import UsageError
from actlas.store.labels.special import SpecialToken, SpecialTokens

PROGRAM = Path(__file__).with_name("tokenizer_process.py")
LIBRARIES = ("tokenizers", "transformers")
REMEMBERED = 3  # form of what is in the cache
REMEDY = (
    "load it with AutoTokenizer.from_pretrained, save it with save_pretrained, and use that folder"
)


@dataclass(frozen=True)
class Encoded:
    """The tokens of some texts, one after the other."""

    ids: npt.NDArray[np.uint32]
    spans: npt.NDArray[np.int32]  # (token, 2): start and end in characters; 0, 0 of special ones
    row_size: npt.NDArray[np.int32]  # tokens of each text


class ModelTokenizer:
    """The tokenizer of a model folder; see ``open_tokenizer``."""

    def __init__(
        self, files: Mapping[str, bytes], folder: Path, name: str, process: subprocess.Popen[bytes]
    ) -> None:
        """Ask ``process`` to load it; raises UsageError where it cannot be used."""
        self.digest = files_digest(files)  # SHA-256 of the files that decide the ids
        self._folder = folder
        self._process = process
        place = _place(name)
        versions = [f"{library} {importlib.metadata.version(library)}" for library in LIBRARIES]
        key = json.dumps([REMEMBERED, self.digest, place, *versions])
        answer = json.loads(self._ask({"entry": _entry(key), "key": key}))
        if "unknown" in answer:
            with tempfile.TemporaryDirectory(prefix="actlas-tokenizer-") as scratch:
                copy = Path(scratch, place)
                copy.mkdir(parents=True, exist_ok=True)
                for file, content in files.items():
                    (copy / file).write_bytes(content)  # what is loaded is what the digest is of
                answer = json.loads(self._ask({"folder": place, "scratch": scratch}))
        if "refused" in answer:
            raise self._refused(f"cannot be used ({answer['refused']})")
        self.bos, self.mask = (
            SpecialToken(*answer[name]) if answer[name] else None for name in ("bos", "mask")
        )
        before, after = (
            tuple(SpecialToken(*token) for token in answer["special"][side])
            for side in ("before", "after")
        )
        self.special = SpecialTokens(before, after)  # what it adds to each text by itself

    def encode(self, texts: Sequence[str], *, special: bool = True) -> Encoded:
        """Return ids and offsets of ``texts``, with the special tokens that it adds or without.

        Raises UsageError where the tokenizer fails, or takes far too much time or memory.
        """
        answer = self._ask({"texts": list(texts), "special": special})
        if answer[:1] != b"0":
            raise self._refused(f"fails on a sentence ({answer[1:].decode()})")
        row_size = np.frombuffer(answer, np.int32, len(texts), 1)
        total = int(row_size.sum(dtype=np.int64))
        ids = np.frombuffer(answer, np.uint32, total, 1 + row_size.nbytes)
        spans = np.frombuffer(answer, np.int32, 2 * total, 1 + row_size.nbytes + ids.nbytes)
        return Encoded(ids, spans.reshape(-1, 2), row_size)

    def vocabulary(self, size: int) -> list[str]:
        """Return the characters of each token id below ``size``, "" for those that are none's.

        Raises UsageError as ``encode`` does.
        """
        answer = json.loads(self._ask({"vocabulary": size}))
        if "refused" in answer:
            raise self._refused(f"fails on its own vocabulary ({answer['refused']})")
        return list(map(str, answer["words"]))

    def decode(self, lists: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of token ids, special tokens among them.

        Raises UsageError as ``encode`` does.
        """
        answer = self._ask({"ids": [list(map(int, ids)) for ids in lists]})
        if answer[:1] != b"0":
            raise self._refused(f"fails on token ids ({answer[1:].decode()})")
        texts: list[str] = json.loads(answer[1:])
        return texts

    def _ask(self, question: dict[str, Any]) -> bytes:
        frame = json.dumps(question).encode()
        questions, answers = (
            cast("IO[bytes]", self._process.stdin),
            cast("IO[bytes]", self._process.stdout),
        )
        try:
            questions.write(len(frame).to_bytes(8, "little") + frame)
            questions.flush()
            length = answers.read(8)
        except BrokenPipeError:
            length = b""
        answer = answers.read(int.from_bytes(length, "little")) if length else b""
        if not answer:
            raise self._refused(self._end())
        return answer

    def _end(self) -> str:
        """Return what ended the process."""
        code = self._process.wait()
        if -code in (signal.SIGXCPU, signal.SIGKILL):
            return "takes far more time than any should"
        if -code in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
            return "crashes, or takes far more memory than any should"
        return f"ended its process with exit code {code}"

    def _refused(self, what: str) -> UsageError:
        return UsageError(f"{self._folder}: the tokenizer {what}: {REMEDY}")


@contextmanager
def open_tokenizer(folder: Path, name: str) -> Iterator[ModelTokenizer]:
    """Yield the tokenizer of ``folder``, which the user calls ``name``.

    Its ids and offsets are those of ``AutoTokenizer.from_pretrained(folder)``, whatever files
    decide them; padding and truncation are left out. Raises UsageError where there is none, it is
    not a fast one, or transformers cannot load it without remote code.
    """
    files = tokenizer_files(folder)
    command = [sys.executable, "-P", str(PROGRAM)]
    # what libraries print is not for our users: each failure has a line of its own
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        yield ModelTokenizer(files, folder, name, process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(BrokenPipeError):  # of a question that it did not live to read
        cast("IO[bytes]", process.stdin).close()
    cast("IO[bytes]", process.stdout).close()
    process.wait()


def _place(name: str) -> str:
    """Return a path for a copy of the folder.

    Transformers knows some models of the hub by their names.
    """
    path = PurePosixPath(name)
    return (
        "tokenizer"
        if path.is_absolute() or {"..", "~"} & {*path.parts} or not path.parts
        else str(path)
    )


def _entry(key: str) -> str | None:
    """Return the file of the cache for ``key``, None where there is no place for one."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    except RuntimeError:  # no HOME and no passwd entry
        return None
    return str(
        folder / "actlas" / "tokenizers" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    )
