"""Disks and file systems that fail, for commands in processes of their own.

They fail by ``disk.c``, or are real ones that are mounted.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNLINKED = "link=1 chmod=1"  # EPERM, as exFAT and FAT say
UNRESERVED = "fallocate64=95 posix_fallocate64=95"  # EOPNOTSUPP
MAIN = "from actlas.scripts.cli import main; main(prog_name='actlas')"


@cache
def library(folder: Path) -> Path:
    """Compile ``disk.c``; the test is skipped where there is no compiler, or no LD_PRELOAD."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    built = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wno-deprecated-declarations", "-o", built, source, "-ldl"],
        check=True,
    )
    return built


def python(
    library: Path | None, disk: str, code: str, *arguments: object, prefix=(), **environment: str
):
    """Run Python ``code``, in which calls fail as ``disk`` says; return the finished process."""
    variables = {**os.environ, "DISK": disk, "PYTHONPATH": str(ROOT), **environment}
    if library is not None:
        variables["LD_PRELOAD"] = str(library)
    command = [*map(str, prefix), sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
    )


def actlas(library: Path | None, disk: str, *arguments: object, before: str = "", prefix=()):
    """Run a command of actlas likewise; ``before`` is Python that comes first."""
    return python(library, disk, f"import sys\n{before}\n{MAIN}", *arguments, prefix=prefix)


def mounted(*commands: str, after: str = "") -> tuple[str, ...]:
    """Return the beginning of a command that alone sees what ``commands`` mount.

    after: what unmounts it, where a process serves it: one that ends with the mount waits for
    itself, for ever, and with it every later ``sync`` of the machine. Skips the test where mounting
    is not allowed.
    """
    work = ('"$@" && code=0 || code=$?', after, "exit $code") if after else ('exec "$@"',)
    prefix = ("unshare", "-m", "sh", "-ec", "\n".join([*commands, *work]), "sh")
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"mounting is not possible here: {error}")
    if tried.returncode:
        pytest.skip(f"mounting is not possible here: {tried.stderr.strip()[:200]}")
    return prefix
