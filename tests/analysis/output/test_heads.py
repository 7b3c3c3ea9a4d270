"""Scores of heads: planted habits, plain loops, both sources of weights."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.heads.compute import head_scores
from actlas.store.errors import UsageError
from tests.analysis.laws.asking import asked, found
from tests.tiny_runs.storing import LENGTHS

STARTS = np.cumsum((0, *LENGTHS))


def planted(weights_of, ids=None):
    """Return a view of two sentences whose weights ``weights_of(query)`` gives, by key."""
    lengths = (6, 4)
    pattern = np.zeros((1, 10, 1, 6), np.float32)
    for start, length in zip((0, 6), lengths, strict=True):
        for query in range(length):
            pattern[0, start + query, 0, : query + 1] = 1e-30  # seen by all
            for key, weight in weights_of(query).items():
                pattern[0, start + query, 0, key] = weight
    return xr.Dataset(
        {"pattern": (("layer", "token", "head", "key"), pattern)},
        coords={
            "sentence": ("token", np.repeat([0, 1], lengths)),
            "position": ("token", np.concatenate([np.arange(n) for n in lengths])),
            "token_id": ("token", np.arange(10) if ids is None else np.array(ids)),
        },
    ).chunk({"layer": 1, "token": (6, 4)})


def one(result, kind):
    return float(result["score"].sel(kind=kind).squeeze())


def test_a_planted_habit_scores_one():
    previous = head_scores(planted(lambda query: {max(query - 1, 0): 1.0})).compute()
    assert one(previous, "previous") == pytest.approx(1)
    assert one(previous, "entropy") == pytest.approx(0, abs=1e-20)
    first = head_scores(planted(lambda _: {0: 1.0})).compute()
    assert one(first, "first") == pytest.approx(1)
    assert one(first, "distance") == pytest.approx(np.mean([0, 1, 2, 3, 4, 5, 0, 1, 2, 3]))
    current = head_scores(planted(lambda query: {query: 1.0})).compute()
    assert one(current, "current") == pytest.approx(1)
    assert one(current, "distance") == pytest.approx(0, abs=1e-20)
    # a b c a b c: the query at 3 looks behind the a at 0, and so on
    ids = [1, 2, 3, 1, 2, 3, 5, 6, 7, 8]
    behind = planted(lambda query: {query - 2: 1.0} if query > 2 else {0: 1.0}, ids)
    induction = head_scores(behind).compute()
    assert one(induction, "induction") == pytest.approx(1)
    assert induction["queries"].sel(kind="induction").item() == 3


def test_uniform_attention_has_no_excess():
    dataset = planted(lambda query: dict.fromkeys(range(query + 1), 1 / (query + 1)), [1] * 10)
    groups = {"some": np.array([1, 3, 7]), "others": np.array([0, 2, 6])}
    result = head_scores(dataset, groups).compute()
    np.testing.assert_allclose(result["excess"], 0, atol=1e-6)
    np.testing.assert_allclose(result["attention_excess"], 0, atol=1e-6)
    assert one(result, "entropy") == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt_neo"])
def test_against_plain_loops(tiny, name):
    """Windows too: GPT-Neo's local layers see five tokens."""
    model = tiny(name)
    dataset = model.run.dataset(("pattern",))
    groups = {"some": np.array([3, 4, 9]), "others": np.array([0, 2, 8, 15])}
    result = head_scores(dataset, groups).compute()
    weights = model.every["pattern"]
    layer, head = 1, 2
    previous, first, to_others = [], [], []
    for start, end in pairwise(STARTS):
        for query in range(end - start):
            row = weights[layer, start + query, head]
            if query:
                previous.append(row[query - 1])
                if row[0] > 0:
                    first.append(row[0])
            if start + query in groups["some"]:
                keys = [key - start for key in groups["others"] if start <= key <= start + query]
                to_others.append(row[keys].sum())
    here = result["score"].isel(layer=layer, head=head)
    assert float(here.sel(kind="previous")) == pytest.approx(np.mean(previous), abs=1e-6)
    assert float(here.sel(kind="first")) == pytest.approx(np.mean(first), abs=1e-6)
    got = result["attention"].sel({"from": "some", "to": "others"})[layer, head]
    assert float(got) == pytest.approx(np.mean(to_others), abs=1e-6)


def test_building_computes_nothing(tiny, forbid_compute):
    head_scores(tiny("llama").run.dataset(("pattern",)), {"some": np.array([1])})


def test_the_study(tiny):
    done = found(tiny("gpt_neox").run, "heads")
    study = registry.find("heads")
    assert "weights of attention as it is stored" in done.findings
    assert any("gives the token before" in line for line in done.findings)
    (table,) = study.overview(done.result, done.subject)
    assert table.rows[-1][0][0] == "uniform"
    figures = study.figures(done.result, done.subject, study.options())
    assert set(figures) == {"", "groups"}


def test_models_that_see_both_sides(tiny):
    result = head_scores(tiny("bert").run.dataset(("pattern",))).compute()
    assert float(result["uniform"].sel(kind="current").isel(layer=0, head=0)) == pytest.approx(
        np.mean(np.repeat(1 / np.array(LENGTHS), LENGTHS))
    )


def test_a_page_of_a_sentence(tiny, tmp_path):
    """One file that loads nothing, with the weights as they are stored, to a step of 1/255."""
    import base64
    import json
    import re

    question = asked(tiny("llama").run, "heads", sentence=1)
    (content,) = question.study.pages(question.subject, question.options).values()
    text = content.decode()
    assert not re.search(r"(?:src|href)=|https?:|@import|url\(", text)
    assert "default-src 'none'" in text
    found = json.loads(re.search(r'application/json">(.*?)</script>', text)[1])
    assert (found["layers"], found["heads"], len(found["tokens"])) == (3, 15, 4)
    steps = np.frombuffer(base64.b64decode(found["weights"]), np.uint8).reshape(3, 15, 4, 4)
    expected = tiny("llama").every["pattern"][:, 7:11, :, :4].transpose(0, 2, 1, 3)
    np.testing.assert_allclose(steps / 255, expected, atol=0.6 / 255)
    with pytest.raises(UsageError, match="has no sentence 9: expected 0 to 2"):
        nothing = asked(tiny("llama").run, "heads", sentence=9)
        nothing.study.pages(nothing.subject, nothing.options)


def test_no_token_ends_the_script(tiny, monkeypatch):
    from actlas.analysis.declaring import Subject

    evil = "</script><script>alert(1)</script>&"
    monkeypatch.setattr(Subject, "token_text", lambda *_: evil)
    question = asked(tiny("llama").run, "heads", sentence=1)
    (content,) = question.study.pages(question.subject, question.options).values()
    assert content.count(b"</script>") == 2
    assert b"alert(1)</script>" not in content


def test_a_sentence_too_long_for_a_page(tiny, monkeypatch):
    from actlas.analysis.heads import page

    monkeypatch.setattr(page, "MOST_BYTES", 100)
    question = asked(tiny("llama").run, "heads", sentence=1)
    with pytest.raises(UsageError, match="720 weights in all heads, expected 100 at most"):
        question.study.pages(question.subject, question.options)
