"""The vocabulary: words that users of transformers, TransformerLens and xarray know.

Each entry is a word that was given up, and what stands in its place.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("actlas", "analysis", "pipeline", "scripts", "store", "tests")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

#: parts of identifiers, as in ``snake_case`` → the word in use
NAMES = {
    "anew": "again",
    "aside": "temporary",
    "bulk": "data_spans",
    "desk": "session",
    "desks": "sessions",
    "excerpt": "selection",
    "fired": "times_applied",
    "gone": "dropped, missing",
    "ground": "fixture",
    "grounds": "fixtures",
    "holding": "commit record",
    "holdings": "commit records",
    "lacking": "missing",
    "leftover": "garbage",
    "leftovers": "garbage",
    "mend": "repair",
    "mended": "repaired",
    "soundness": "validation",
    "spot": "target",
    "spots": "targets",
    "surroundings": "context_window",
    "swept": "removed",
    "tallies": "all_stats",
    "tally": "stats",
    "told": "reported",
    "upkeep": "update",
    "victim": "server",
    "victims": "servers",
    "wording": "text",
}
#: whole identifiers → the word in use
WHOLE = {
    "BLOCKS": "PROJECTION_PAIRS, layers",
    "at_once": "edits_at_branch",
    "Course": "VariantPass",
    "Desk": "TrialSession, RunSession",
    "Ground": "Fixture",
    "Holding": "CommitRecord",
    "Joined": "packed record",
    "Leftover": "Garbage",
    "Piece": "BlockSource",
    "Portion": "WorkItem",
    "Several": "MultiUnitShard",
    "Spot": "EditTarget",
    "Tally": "ExtractionStats",
    "Victim": "CommandServer",
    "WAYS": "ADAPTERS",
    "Watch": "Callbacks",
    "Way": "RunContext",
    "ways": "adapters",
}
#: in comments, texts and pages → what is said in its place
PHRASES = {
    r"\banew\b": "again",
    r"\b(?:is|are|was) told of\b|\btells? of\b": "reported, reports",
    r"\bfired?\b(?= (?:in|for|and))": "was applied",
    r"\bleftovers?\b": "garbage",
    r"\bupkeep\b": "update",
    r"\bwording\b": "text",
    r"\blacking\b": "missing",
    r"\bswept\b": "removed",
    r"\bwritten aside\b": "written to a temporary file",
    r"\bat (?:one|its|the) spot\b": "at its target",
    r"\bis no (?:folder|directory|actlas store|file|number|edit)\b": "is not a …",
    r"[,:\x22\x27] ?wanted (?:[{\d]|an? |at |above |one |some |such |the )": "expected",
    r"\b(?:skip|scale|zero|noise):block=": "layer=",
    r"\bunits=(?:::|[0-9])": "neurons=, dims=",
}
#: file, or folder, and word → why it is right there
EXCEPTIONS = {
    ("tests/house/test_words.py", ""): "the list itself",
    ("scripts/dev/demo_grammar.py", ""): "sentences of plain English",
    ("scripts/dev/demo_words.py", ""): "words of plain English",
    ("store/reading/hook_names.py", "BLOCKS"): "TransformerLens' names begin with it",
    ("tests/pipeline/edits/test_edits.py", "skip:block="): "is refused",
    ("tests/pipeline/edits/test_edits.py", "units=::"): "is refused",
    ("tests/scripts/analyses/test_downstream.py", "at_once"): "variants that are computed together",
}


def excepted(path: Path, word: str) -> bool:
    """Whether a word is right in a file."""
    file = path.relative_to(ROOT).as_posix()
    return any(file.startswith(place) and each in ("", word) for place, each in EXCEPTIONS)


def sources() -> list[Path]:
    """Return the Python files, those behind the links of ``actlas/`` once."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted({path.resolve() for path in found})


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines or assigns, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def given_up(path: Path, source: str) -> list[str]:
    """Return the words of a file that were given up, each with its line and the word in use."""
    found = []
    if path.suffix == ".py":
        for line, name in identifiers(ast.parse(source)):
            parts = {name} & WHOLE.keys() | set(name.strip("_").split("_")) & NAMES.keys()
            found += [(line, word, (WHOLE | NAMES)[word]) for word in parts]
    for pattern, instead in PHRASES.items():
        for match in re.finditer(pattern, source, re.IGNORECASE):
            found.append((source.count("\n", 0, match.start()) + 1, match[0], instead))
    return [
        f"{path}:{line}: {word!r}, expected {instead}"
        for line, word, instead in sorted(set(found))
        if not excepted(path, word)
    ]


def test_no_word_is_used_that_was_given_up():
    paths = [*sources(), *PAGES]
    assert len(paths) > 400
    found = [line for path in paths for line in given_up(path, path.read_text(encoding="utf-8"))]
    assert found == []


def test_a_word_that_was_given_up_is_found():
    path = ROOT / "store" / "new.py"
    source = 'def sweep(leftovers, at):\n    """Store it anew."""\n    tally = 1  # is told of\n'
    assert [line.split(": ")[1] for line in given_up(path, source)] == [
        "'leftovers', expected garbage",
        "'anew', expected again",
        "'is told of', expected reported, reports",
        "'tally', expected stats",
    ]
    assert given_up(ROOT / "docs" / "new.md", "The file is written aside.") != []
    assert given_up(ROOT / "docs" / "new.md", "Spaces aside, of course.") == []


def test_every_exception_is_of_a_file_that_is_there():
    assert [place for place, _ in EXCEPTIONS if not (ROOT / place).exists()] == []
