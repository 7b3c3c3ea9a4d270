"""What the page begins with: which sentences, in which order; and the line of all checks."""

import pytest
from markupsafe import Markup

from actlas.scripts.reporting.headlines import Candidate, pick_headlines
from actlas.scripts.reporting.page import as_sentence
from actlas.scripts.reporting.verdicts import FAILS, HOLDS, OPEN, Verdict, verdict_line

SVG = Markup('<svg class="drawing" viewBox="0 0 9 9"><g id="part-0-figure-figure_1"/></svg>')


def candidates(*stages):
    return [
        Candidate(f"part-{n}", stage, f"{stage}?", (f"{stage} {n}", f"more of {n}"))
        for n, stage in enumerate(stages)
    ]


def texts(found):
    return [each.text for each in found]


def test_one_of_each_study_in_the_order_of_the_file():
    found = pick_headlines(candidates("scan", "downstream", "downstream", "norms"), [])
    assert texts(found) == ["scan 0", "downstream 1", "norms 3"]
    assert [each.section for each in found] == ["part-0", "part-1", "part-3"]


def test_six_at_most():
    assert len(pick_headlines(candidates(*"abcdefgh"), [])) == 6


def test_few_studies_say_more():
    assert texts(pick_headlines(candidates("scan", "scan"), [])) == [
        "scan 0",
        "scan 1",
        "more of 0",
    ]
    assert texts(pick_headlines(candidates("scan"), [])) == ["scan 0", "more of 0"]
    assert pick_headlines([Candidate("part-0", "own-f", "f", ())], []) == []


def test_a_check_that_fails_comes_first():
    verdicts = [
        Verdict("A", HOLDS, "a"),
        Verdict("B", FAILS, "b", "part-1"),
        Verdict("C", OPEN, ""),
    ]
    found = pick_headlines(candidates("scan", "norms", "heads"), verdicts)
    assert texts(found) == ["B: b", "scan 0", "norms 1", "heads 2"]
    assert [each.fails for each in found] == [True, False, False, False]
    assert found[0].section == "part-1"


def test_the_thumbnail_is_the_figure_again():
    one, *_ = candidates("scan")
    with_figure = Candidate(one.section, one.stage, one.heading, one.findings, "part-0-figure", SVG)
    first, second = pick_headlines([with_figure], [])
    assert 'href="#part-0-figure-figure_1"' in first.thumbnail
    assert 'viewBox="0 0 9 9"' in first.thumbnail
    assert second.thumbnail is None


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        ("the loss falls", "The loss falls."),
        ("skip:layer=3 raises the loss", "skip:layer=3 raises the loss."),
        ("resid: wide", "resid: wide."),
        ("L2H3 adds most.", "L2H3 adds most."),
        ("", ""),
    ],
)
def test_a_finding_is_a_sentence(finding, sentence):
    assert as_sentence(finding) == sentence


def test_all_checks_are_a_line():
    holds, fails, open_ = (Verdict("It Is", state, "") for state in (HOLDS, FAILS, OPEN))
    assert verdict_line([holds, holds, open_]) == "2 checks hold, 1 open (open: it Is)"
    assert verdict_line([holds]) == "1 check holds (held: it Is)"
    assert verdict_line([fails, holds, open_]) == "1 check fails, 1 holds, 1 open (failed: it Is)"
    assert verdict_line([]) == "Nothing was checked"
