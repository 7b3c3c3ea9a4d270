"""A disk that is full, or a limit on files, while results are written.

The command says one line that names a file; older files stay whole.
"""

import contextlib
import subprocess

import pytest

from actlas.analysis.results.seals import check_result
from actlas.scripts.reporting.seal import check_report
from tests import commands

COMMANDS = {
    "variance": ["variance", "it", "--target", "her", "--out"],
    "cosine": ["cosine", "it", "--target", "her", "--save-matrix", "--out"],
    "report": ["report"],
}


def call(folder, *arguments, limit=None):
    """Run the command in a process of its own, whose files may have ``limit`` bytes."""
    return commands.run(folder, *arguments, "--store", "store", file_size=limit)


def whole(out):
    """Return the files of a folder of results, after a look at every byte; there are no drafts."""
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert not [name for name in files if name.startswith(".")]
    for path in out.glob("*.nc"):
        check_result(path)
    for path in out.glob("*.html"):
        check_report(path)
    return files


def failed(done, out):
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), (
        done.returncode,
        done.stderr,
    )
    assert f"{out.name}/" in done.stderr
    assert "No space left" in done.stderr or "File too large" in done.stderr


#: a matrix takes its time, five times over
MATRIX = pytest.param("cosine", marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["variance", "report", MATRIX])
@pytest.mark.parametrize("old", [False, True])
def test_a_limit_on_files(store, tmp_path, command, old):
    assert store.run("it")
    out = tmp_path / "out"
    if old or command == "report":
        assert call(tmp_path, *COMMANDS["variance"], "out").returncode == 0
    if old:
        assert call(tmp_path, *COMMANDS[command], "out").returncode == 0
    before = whole(out) if out.exists() else {}
    for limit in (1, 5_000, 40_000):
        failed(call(tmp_path, *COMMANDS[command], "out", limit=limit), out)
        assert (whole(out) if out.exists() else {}) == before


@contextlib.contextmanager
def tmpfs(place, kilobytes):
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", [MATRIX, "report"])
def test_a_full_disk(store, tmp_path, command):
    assert store.run("it")
    out = tmp_path / "small"
    with tmpfs(out, 2000):
        assert call(tmp_path, *COMMANDS["variance"], "small").returncode == 0
        if command == "report":
            assert call(tmp_path, *COMMANDS["report"], "small").returncode == 0
        before = whole(out)
        filling = out / "filling"
        with contextlib.suppress(OSError), filling.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
        failed(call(tmp_path, *COMMANDS[command], "small"), out)
        filling.unlink()
        assert whole(out) == before
