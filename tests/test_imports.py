"""No module imports one that imports it, not even for its types: each can be read, and moved, by itself."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "actlas"
#: folders without a circle; ``pipeline`` still has one around its model folder
FOLDERS = (("store",), ("store", "analysis", "scripts"))


def modules(folders: tuple[str, ...]) -> dict[str, Path]:
    """Return name → file of all modules in ``folders``."""
    found = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
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
    """Return the modules that lie on a circle or between two: what stays when leaves and roots are taken away."""
    left = {name: set(targets) for name, targets in graph.items()}
    while True:
        targets = set().union(*left.values())
        ends = {name for name, after in left.items() if not after or name not in targets}
        if not ends:
            return sorted(left)
        left = {name: after - ends for name, after in left.items() if name not in ends}


@pytest.mark.parametrize("folders", FOLDERS, ids=" ".join)
def test_no_modules_import_each_other(folders):
    known = modules(folders)
    graph = {
        name: (set(imported(path, known)) & known.keys()) - {name} for name, path in known.items()
    }
    assert len(graph) > 40
    assert circles(graph) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": set()}) == ["b", "c"]
