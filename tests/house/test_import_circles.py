"""No module imports one that imports it, not even for its types.

So each can be read, and moved, by itself.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

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
