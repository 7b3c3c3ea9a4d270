"""Files and functions stay of a size that one can read in one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("actlas", "analysis", "pipeline", "scripts", "store", "tests", "docs")
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40  # docstring and decorators left out

#: a forward pass that is read from top to bottom beside the model's
EXCEPTIONS = {"tests/oracle.py activations"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    """Return all Python files; ``actlas/`` links to four of the folders."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted({path.resolve() for path in found if "_build" not in path.parts})


def functions(tree: ast.AST) -> Iterator[tuple[Function, int]]:
    """Yield each function with its lines; those of functions inside it are theirs."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            lines = _span(node)
            if ast.get_docstring(node) is not None:
                lines -= _span(node.body[0])
            for inner in ast.walk(node):
                if isinstance(inner, Function) and inner is not node:
                    first = min(each.lineno for each in (inner, *inner.decorator_list))
                    lines -= (inner.end_lineno or 0) - first + 1
            yield node, lines


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def too_long(path: Path) -> list[str]:
    """Return what is too long in a file."""
    text = path.read_text(encoding="utf-8")
    count = len(text.splitlines())
    found = [f"{path}: {count} lines"] if count > MOST_LINES_OF_A_FILE else []
    for function, lines in functions(ast.parse(text)):
        excepted = any(f"{path} {function.name}".endswith(each) for each in EXCEPTIONS)
        if lines > MOST_LINES_OF_A_FUNCTION and not excepted:
            found.append(f"{path}:{function.lineno} {function.name}: {lines} lines")
    return found


def test_no_file_and_no_function_is_too_long():
    assert len(files()) > 400
    assert [problem for path in files() for problem in too_long(path)] == []


def test_what_is_too_long_is_found(tmp_path):
    body = "\n".join(f"    x = {number}" for number in range(MOST_LINES_OF_A_FUNCTION))
    path = tmp_path / "long.py"
    path.write_text(f'def f():\n    """Two\n\n    lines."""\n{body}\n')
    assert [problem.split(":")[1] for problem in too_long(path)] == ["1 f"]
    path.write_text("x = 1\n" * (MOST_LINES_OF_A_FILE + 1))
    assert len(too_long(path)) == 1
