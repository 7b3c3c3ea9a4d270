"""Every relative link in README.md, CONTRIBUTING.md and docs/ leads to a file and.

Where it names one, to a heading.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]\n]*(?:\n[^\]\n]*)?\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<words>.+)$", re.M)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def links(page: Path) -> list[str]:
    return [
        match["target"] for match in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8")))
    ]


def anchors(page: Path) -> set[str]:
    """Return what GitHub and MyST make of headings."""
    words = [match["words"].lower() for match in HEADING.finditer(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_file(), f"{page}: {target} is not there"
        assert found.is_relative_to(ROOT), f"{page}: {target} is outside the repository"
        assert not anchor or anchor in anchors(found), f"{page}: {target}: no such heading"


def test_links_are_found():
    assert len(links(ROOT / "README.md")) > 10
    assert any("#" in target for page in PAGES for target in links(page) if "://" not in target)
