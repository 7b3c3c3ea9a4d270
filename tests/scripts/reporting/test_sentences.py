"""Groups of tokens and their loss in the sentences of a page."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.scripts.reporting.sentences import Part, pieces


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 1]))),
)
def test_pieces_joined_are_the_text(text, spans):
    spans = [
        (min(a, b, len(text)), min(max(a, b), len(text)), Part("", kind)) for a, b, kind in spans
    ]
    assert "".join(piece.text for piece in pieces(text, spans)) == text


@pytest.mark.slow
def test_groups_and_losses_are_marked(actlas, small_model, tmp_path):
    (tmp_path / "a.txt").write_text("we saw a <b>dog</b>\nhe had the cat\nshe saw a cat\n")
    text = (
        f'[model]\nname = "{small_model}"\n[runs.a]\nsentences = "a.txt"\n'
        'sites = ["resid", "nll"]\n[analyses.norms]\n'
        'group = ["<i>=a|the", "animal=cat|dog"]\n'
    )
    (tmp_path / "a.toml").write_text(text)
    done = actlas("study", "run", "a.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "actlas-a/report.html").read_text()
    assert "<i>" not in page
    marks = re.findall(
        r'<mark class="(\w+)" title="([^",]+)(?:, loss [^"]+)?">([^<]+)</mark>', page
    )
    assert {(name, group) for name, group, _ in marks} == {
        ("target", "&lt;i&gt;"),
        ("control", "animal"),
    }
    # of a word of several tokens, the one that is studied
    assert {text for _, group, text in marks if group == "animal"} == {"at", "g"}
    assert re.search(r'<span class="loss\d">', page)
    assert "<b>" not in page
