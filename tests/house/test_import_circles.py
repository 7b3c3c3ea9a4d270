"""No module imports one that imports it, not even for its types.

So each can be read, and moved, by itself.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "actlas"
FOLDERS = ("pipeline", "store", "analysis", "scripts", "tests")


def modules() -> dict[str, Path]:
    """Return name → file of all modules."""
    found = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join((PACKAGE, *parts)).removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports anywhere in it, those for type checking alone too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that lie on a circle or between two.

    They stay when leaves and roots are taken away.
    """
    left = {name: set(targets) for name, targets in graph.items()}
    while True:
        targets = set().union(*left.values())
        ends = {name for name, after in left.items() if not after or name not in targets}
        if not ends:
            return sorted(left)
        left = {name: after - ends for name, after in left.items() if name not in ends}


def test_no_modules_import_each_other():
    known = modules()
    graph = {
        name: (set(imported(path, known)) & known.keys()) - {name} for name, path in known.items()
    }
    assert len(graph) > 400
    assert circles(graph) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": set()}) == ["b", "c"]


# libraries once; then each module first in a process of its own, which is a fork
FIRST = """
import importlib, os, sys
import dask.array, h5py, matplotlib.figure, numpy, pandas, torch, transformers, xarray
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_each_module_can_be_imported_first():
    names = [
        name for name in modules() if not name.startswith(("actlas.tests", "actlas.scripts.bench"))
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST, *names],
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line for line in done.stdout.splitlines() if " SystemExit" not in line]
    assert (len(names) > 400, said) == (True, [])
