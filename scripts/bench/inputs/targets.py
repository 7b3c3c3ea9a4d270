"""Everything that parses bytes from elsewhere, as targets for fuzzing.

Each target says where an input goes, and which commands read it.

The law: a command answers, or it fails with one short line and exit status 1 or 2, in seconds and
in bounded memory.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import xxhash

from actlas.scripts.bench.damage import make_base
from actlas.scripts.bench.injection.operations import STORE, Words
from actlas.scripts.bench.injection.state import run_here

SECONDS, MEMORY, LONGEST_LINE = 10, 600 << 20, 2100
TRAILER = 27  # bytes behind the record of an export
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

LOOKING: tuple[Words, ...] = (
    ("verify", *STORE),
    ("ls", *STORE, "--json"),
    ("show", "it", *STORE),
    ("gc", *STORE, "--dry-run"),
)
WITH_MODEL: Words = ("extract", "{root}/it.txt", "--model", "{root}/model", *STORE, "--dry-run")
LABELLED: Words = ("relabel", "it", "--labels", "{root}/spans.csv", *STORE, "--dry-run")
REPORTED: Words = ("report", "{root}/results", *STORE)
MANY_LINES = ("verify", "gc")


class Hang(BaseException):
    """A command took longer than it may."""


@dataclass(frozen=True)
class Target:
    """A file, below the root, that an input becomes, and the commands that read it."""

    file: str  # a pattern; the first that it fits
    commands: tuple[Words, ...]
    sealed: bool = False  # a record: every second input gets the checksum that it claims to have
    # an input and the original → a file
    wrapped: Callable[[bytes, bytes], bytes] = lambda content, _: content
    # the original → what of it inputs are like
    seed: Callable[[bytes], bytes] = lambda original: original
    dataset: str = ""  # a run that is read as well, by Python


def _sentences(suffix: str, *options: str) -> Target:
    return Target(
        f"fuzz.{suffix}", (("extract", f"{{root}}/fuzz.{suffix}", *STORE, "--dry-run", *options),)
    )


def _record(file: str, *commands: Words, dataset: str = "it") -> Target:
    return Target(file, (*LOOKING, *commands), sealed=True, dataset=dataset)


# safetensors: 8 bytes of length, the header as JSON, then the weights
def _header(original: bytes) -> bytes:
    return original[: 8 + int.from_bytes(original[:8], "little")]


def _with_weights(content: bytes, original: bytes) -> bytes:
    return content + original[len(_header(original)) :]


def _line_of_export(original: bytes) -> bytes:
    length = int(original[-TRAILER:].split()[0])
    return original[-TRAILER - length : -TRAILER]


def _as_export(content: bytes, original: bytes) -> bytes:
    end = len(original) - TRAILER - len(_line_of_export(original))
    kind = original[-TRAILER:].split()[1]
    return original[:end] + content + b"%012d %s\n" % (len(content), kind)


EDITED = (
    ("extract", "{root}/it.txt", *STORE, "--dry-run", "--edit", "{text}"),
    ("sweep", "{root}/it.txt", *STORE, "--dry-run", "--edit", "{text}"),
)
EXPORTED = (("verify", "{root}/it.h5"), ("show", "{root}/it.h5"))
STUDIED = (("study", "check", "{root}/study.toml", "--out", "{root}/study", *STORE),)

TARGETS: dict[str, Target] = {
    "txt": _sentences("txt"),
    "csv": _sentences("csv"),
    "tsv": _sentences("tsv"),
    "jsonl": _sentences("jsonl"),
    "json": _sentences("json"),
    "parquet": _sentences("parquet"),
    "spans": Target("spans.csv", (LABELLED,)),
    "edits": Target("fuzz.edit", EDITED),
    "study-file": Target("study.toml", STUDIED),
    "study-record": Target(
        "study/study.json", (*STUDIED, ("report", "{root}/study", *STORE)), sealed=True
    ),
    "config": Target("model/config.json", (WITH_MODEL,)),
    "weights": Target(
        "model/model.safetensors", (WITH_MODEL,), wrapped=_with_weights, seed=_header
    ),
    "tokenizer": Target("model/tokenizer.json", (WITH_MODEL,)),
    "tokenizer-config": Target("model/tokenizer_config.json", (WITH_MODEL,)),
    "store-record": _record("store/store.json"),
    "run-record": _record("store/runs/*/run.json"),
    "commit": _record("store/runs/*/commits/*.json"),
    "packed": _record("store/runs/*/packed/*.json", ("show", "packed", *STORE), dataset="packed"),
    "labels": _record("store/runs/*/labels/*"),
    "name": _record("store/names/it"),
    "shard": Target("store/runs/*/shards/*.h5", LOOKING, dataset="it"),
    "export": Target(
        "it.h5",
        EXPORTED,
        sealed=True,
        wrapped=_as_export,
        seed=_line_of_export,
        dataset="{root}/it.h5",
    ),
    "readout": Target(
        "store/readouts/*.h5",
        LOOKING,
        sealed=True,
        wrapped=_as_export,
        seed=_line_of_export,
    ),
    "result": Target("results/*.nc", (REPORTED,)),
    "svg": Target("results/*.svg", (REPORTED,)),
}


@dataclass(frozen=True)
class Violation:
    """A command that broke the law, a name for the kind of it, and all that is known."""

    command: str
    kind: str
    text: str


class Fuzzed:
    """A folder with a file of every sort, and one target in it."""

    def __init__(self, name: str, root: Path) -> None:
        self.target, self.root = TARGETS[name], root
        found = sorted(path for path in root.glob(self.target.file) if path.is_file())
        self.path = found[0] if found else root / self.target.file
        self.original = self.path.read_bytes() if found else b""
        self.seed = self.target.seed(self.original) if found else b""

    @property
    def there(self) -> bool:
        """Whether this version of actlas has such files."""
        return bool(self.original) or "*" not in self.target.file

    def violations(self, content: bytes) -> list[Violation]:
        """Give ``content`` to every command of the target; return what broke the law."""
        # half of the inputs get a checksum that holds, and so reach the checks behind it;
        # by the digest of the input, so that one which was kept does the same again
        if self.target.sealed and xxhash.xxh3_64_intdigest(content) % 2:
            content = resealed(content)
        self._write(self.target.wrapped(content, self.original))
        broken = [self._judged(words, content) for words in self.target.commands]
        if self.target.dataset:
            broken.append(self._read())
        if self.original:
            self._write(self.original)
        return [each for each in broken if each]

    def _write(self, content: bytes) -> None:
        # stored files are read-only, and may be mapped: a new file takes the name
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(content)

    def _judged(self, words: Words, content: bytes) -> Violation | None:
        text = content.replace(b"\0", b"").decode(errors="surrogateescape")
        arguments = [
            word.replace("{root}", str(self.root)).replace("{text}", text) for word in words
        ]
        return lawful(words[0], lambda: run_here(*arguments))

    def _read(self) -> Violation | None:
        from actlas.scripts.terminal.options import open_run
        from actlas.store.errors import ActlasError

        def read() -> tuple[int, str, str]:
            try:
                open_run(self.target.dataset.format(root=self.root), self.root / "store").dataset(
                    check=True
                ).compute()
            except ActlasError as error:
                return error.exit_code, "", f"Error: {error}"
            return 0, "", ""

        return lawful("dataset", read)


def lawful(name: str, work: Callable[[], tuple[int, str, str]]) -> Violation | None:
    """Return how ``work``, a command, broke the law; None where it kept it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        with limited():
            status, _, errors = work()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in {Path(place.filename).name}:{place.name}"
        return Violation(name, kind, traceback.format_exc())
    lines = errors.strip().splitlines()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if grown > MEMORY:
        return Violation(name, "memory", f"{grown >> 20} MB more than before")
    if status not in (0, 1, 2) or (status and not lines):
        return Violation(name, f"status {status}", errors)
    if (status and len(lines) > 1 and name not in MANY_LINES) or max(
        map(len, lines), default=0
    ) > LONGEST_LINE:
        return Violation(name, "not one short line", errors[:2000])
    return None


@contextmanager
def limited() -> Iterator[None]:
    """Raise Hang in what takes too long."""

    def stop(_: int, __: FrameType | None) -> None:
        raise Hang(f"longer than {SECONDS} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def resealed(content: bytes) -> bytes:
    """Return a record with the checksum of what it says.

    ``content`` itself where that is no record.
    """
    try:
        record: Any = json.loads(content)
        if not isinstance(record, dict) or "checksum" not in record:
            return content
        del record["checksum"]
        canonical = _canonical(record)
        return _canonical({**record, "checksum": xxhash.xxh3_64_hexdigest(canonical)}) + b"\n"
    except (ValueError, RecursionError):
        return content


def _canonical(record: Any) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def make_root(root: Path) -> None:
    """Make a folder with a file of every sort: what the damage bench has, and a model."""
    make_base(root)
    (root / "model").mkdir()
    from actlas.pipeline.models import folder as models

    for name in MODEL_FILES:
        shutil.copy(models.DEMO_FOLDER / name, root / "model" / name)
    generator = random.Random(0)
    texts = [
        f"The {word} gave her {generator.randint(2, 99)} books."
        for word in ("cat", "queen", "old man")
    ]
    (root / "fuzz.txt").write_text("\n".join(texts) + "\n")
    (root / "fuzz.csv").write_text(
        "text,kind,n\n" + "".join(f'"{text}",a,{len(text)}\n' for text in texts)
    )
    (root / "fuzz.tsv").write_text("text\tkind\n" + "".join(f"{text}\tb\n" for text in texts))
    (root / "fuzz.jsonl").write_text(
        "".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts)
    )
    (root / "fuzz.json").write_text(json.dumps([{"text": text, "kind": "c"} for text in texts]))
    (root / "fuzz.edit").write_text("scale:layer=2,factor=0.5|1.5;zero:site=z,layer=1,head=0-3")
