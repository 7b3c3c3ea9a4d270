"""Every command line and every Python block in README and docs is run, page by page.

The model is the demo model.

A page gets a folder of its own; what stands in for a reader's files is in FILES and STANDS_FOR.
Blocks that cannot be run say so in the page, ``<!-- not run: why -->``; those of benchmarks are
held against their options. Other blocks have a language, or no command in them.
"""

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests import commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = ROOT / "pipeline" / "texts"
CUPS = (
    "text,kind\nThe cup on the table was hers.,object\nShe drank her tea from a cup.,verb\nHe "
    "gave her a cup of tea.,verb\nMy cup is full.,object\n"
)

#: what is in the folder of a page before its first block; a model called gpt2-xl is the demo model
FILES = {
    "mine.txt": TEXTS / "her.txt",
    "her.txt": TEXTS / "her.txt",
    "gpt2-xl": ROOT / "pipeline/demo_model",
    "pipeline": ROOT / "pipeline",
}
#: of GPT-2 XL → of the demo model, which is not as deep
STANDS_FOR = {"0,12,47": "0,3,7"}
#: what a reader has done before reading a page
BEFORE = {
    "docs/studies.md": ["extract pipeline/texts/her.txt --name her-demo --store actlas-demo/store"],
    "docs/housekeeping.md": ["extract mine.txt --name mine"],
}
BLOCK = re.compile(
    r"^(?P<marker><!-- not run: .+ -->\n)?```(?P<language>.*)\n(?P<content>(?:.*\n)*?)```$",
    re.MULTILINE,
)
COMMAND = re.compile(r"^(actlas|echo|python3?|pip|eval|srun|[A-Z_]+=)\b", re.MULTILINE)
BENCH = re.compile(r"^python (?:-m actlas\.)?scripts[/.]bench[/.]([\w/.]+?)(?:\.py)?(?= |$)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    content: str
    marked: bool


def blocks(page):
    """Return the blocks of a page that are commands or Python.

    Each says whether it is marked as not run.
    """
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match["language"].strip(), match["content"], bool(match["marker"]))
        for match in BLOCK.finditer(text)
    ]
    assert len(found) == len(re.findall(r"^```$", text, re.MULTILINE)) - sum(
        not block.language for block in found
    ), page
    return [
        block
        for block in found
        if block.language == "python" or (not block.language and COMMAND.search(block.content))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_what_a_page_says_works(page, tmp_path, monkeypatch):
    prepare(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    follow(page, tmp_path)


def in_order():
    """Return README, the tutorial, and the how-to pages in the order of their table of contents."""
    index = ROOT / "docs/how-to/index.md"
    listed = re.search(r"^```{toctree}\n:hidden:\n\n(.*?)```", index.read_text(), re.DOTALL | re.M)
    names = listed[1].split()
    how_to = [(index.parent / f"{name}.md").resolve() for name in names]
    return [ROOT / "README.md", ROOT / "docs/tutorial.md", index, *how_to]


def follow(page, folder, also=(), do=None):
    """Do what a page says, block by block, in the folder; later blocks know names of earlier.

    also: text and what stands for it, beside what does on all pages. do: a line, in place of
    ``perform``.
    """
    names = {"__name__": "page"}
    for block in blocks(page):
        content = block.content
        for theirs, ours in (*STANDS_FOR.items(), *also):
            content = content.replace(theirs, ours)
        if block.marked:
            continue
        if block.language == "python":
            exec(compile(content, str(page), "exec"), names)
        else:
            for line in content.replace("\\\n", " ").splitlines():
                (do or perform)(line, folder)


def other_model(folder):
    """Put a model of its own there: a reader's gpt2-xl and the demo model are not one run."""
    from safetensors.numpy import load_file, save_file

    folder.unlink()
    shutil.copytree(ROOT / "pipeline/demo_model", folder)
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    save_file(
        {**weights, name: weights[name] * np.float32(1.25)},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def prepare(page, folder):
    """Put into a page's folder what its reader has."""
    for name, source in FILES.items():
        (folder / name).symlink_to(source)
    (folder / "cups.csv").write_text(CUPS)
    lines = (TEXTS / "her.txt").read_text(encoding="utf-8").splitlines()
    (folder / "mine.csv").write_text(
        "\n".join(["text,kind", *(f'"{line}",a' for line in lines)]), encoding="utf-8"
    )
    written_by_reader(page, folder)
    for line in BEFORE.get(str(page.relative_to(ROOT)), []):
        perform(f"actlas {line}", folder)


def written_by_reader(page, folder):
    """Write what the page has its reader write: Python files and a study file."""
    text = page.read_text(encoding="utf-8")
    for name, content in re.findall(
        r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    ):
        (folder / name).write_text(content, encoding="utf-8")
    study = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    if study:
        (folder / "mine.toml").write_text(study[1])


def perform(line, folder):
    """Run a line of a shell: an actlas command, after ``echo`` or not.

    A benchmark's line is held against its options.
    """
    words = shlex.split(line, comments=True)
    if not words:
        return
    if bench := BENCH.match(line):
        import importlib

        module = f"actlas.scripts.bench.{bench[1].replace('/', '.')}"
        command = importlib.import_module(module).main
        command.make_context(bench[1], words[2:])
        return
    stdin = ""
    if words[0] == "echo" and "|" in words:
        at = words.index("|")
        stdin, words = " ".join(words[1:at]) + "\n", words[at + 1 :]
    assert words[0] == "actlas", f"neither run nor marked as not run: {line}"
    done = commands.run(folder, *words[1:], stdin=stdin)
    # with dropout a sum does not hold, which the page says
    expected = 1 if "reconstruct dropped" in line else 0
    assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = [
        target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target
    ]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_pages_are_found():
    assert len(PAGES) > 15
    assert sum(len(blocks(page)) for page in PAGES) > 25
