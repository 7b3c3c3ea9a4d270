"""The gallery shows every study, and says what the studies find now."""

import re

import pytest

from actlas.analysis import registry
from actlas.scripts.dev.gallery import EXAMPLES, IMAGES, PAGE, made

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]\d+)?")


@pytest.mark.slow
def test_every_study_is_shown():
    assert {example.study for example in EXAMPLES} >= set(registry.BUILT_IN)
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in registry.BUILT_IN if f"\nactlas {name} " not in page] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_says_what_the_studies_find(tmp_path):
    """The same words; numbers to 2 %, since machines round differently."""
    page, images = made(tmp_path)
    written, found = PAGE.read_text(encoding="utf-8"), page
    again = "run `python scripts/dev/gallery.py`"
    assert NUMBER.sub("#", written) == NUMBER.sub("#", found), again
    pairs = zip(NUMBER.findall(written), NUMBER.findall(found), strict=True)
    for old, new in ((float(a.replace("−", "-")), float(b.replace("−", "-"))) for a, b in pairs):
        assert old == pytest.approx(new, rel=0.02, abs=1e-6), again
    assert {name for name in images if not (IMAGES / name).is_file()} == set()
