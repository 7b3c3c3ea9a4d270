"""A folder with a file of every sort that actlas writes.

It has a store with packed and edited runs, exports, results and studies.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash

MAKE = (
    "import sys; from pathlib import Path; from actlas.scripts.bench.inputs.targets "
    "import make_root\n"
    "make_root(Path(sys.argv[1]))"
)


@pytest.fixture(scope="session")
def everything(tmp_path_factory) -> Path:
    """Return the folder; it is copied before anything is changed."""
    root = tmp_path_factory.mktemp("everything") / "root"
    made = subprocess.run(
        [sys.executable, "-c", MAKE, str(root)], capture_output=True, text=True, timeout=200
    )
    assert made.returncode == 0, made.stderr
    return root


@pytest.fixture
def copy_of_everything(everything, tmp_path) -> Path:
    """Return a copy, to be altered."""
    return Path(shutil.copytree(everything, tmp_path / "root"))


def records(path: Path) -> list[dict]:
    """Return the sealed records in a file: all of it, or lines at its end."""
    content = path.read_bytes()
    if record := _record(content):
        return [record]
    found = []
    for line in content.split(b"\n")[-4:]:
        # behind bytes of HDF5 without a line end
        starts = [match.start() for match in re.finditer(rb'\{"', line)][:1000]
        found += [record for start in starts if (record := _record(line[start:]))][:1]
    return found


def _record(content: bytes) -> dict | None:
    if b'"actlas-' not in content:
        return None
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    ours = (
        isinstance(record, dict)
        and str(record.get("format", "")).startswith("actlas-")
        and "version" in record
    )
    return record if ours else None


def newer(path: Path) -> None:
    """Let every record in a file say that it is of the next version, and seal it again."""
    content = path.read_bytes()
    for record in records(path):
        later = {**record, "version": record["version"] + 1}
        later.pop("checksum", None)
        sealed = canonical({**later, "checksum": xxhash.xxh3_64_hexdigest(canonical(later))})
        old = canonical(record)
        content = (
            content.replace(old, sealed) if old in content else json.dumps(later, indent=1).encode()
        )
    path.chmod(0o644)
    path.write_bytes(content)


def canonical(record: dict) -> bytes:
    """Return the form that docs/store-format.md describes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
