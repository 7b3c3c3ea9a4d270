"""The lens of every family against the oracle; its laws; what it refuses."""

import dask
import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.lens.compute import lens
from actlas.analysis.lens.logits import logits
from actlas.store.errors import UsageError
from tests.analysis.laws.asking import asked, found
from tests.oracle import softmax
from tests.tiny_runs.storing import LENGTHS, MASK

FEW = ("gpt_neox", "gptj", "llama", "gemma2")
SLOW = ("gpt_neo", "llama-tied", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma3")
NAMES = [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
STARTS = np.cumsum((0, *LENGTHS))


@pytest.mark.parametrize("name", NAMES)
def test_the_last_depth_is_the_model(tiny, name):
    model = tiny(name)
    dataset = model.run.dataset(("resid", "nll"))
    result = lens(dataset, model.readout).compute()
    last, expected = result.isel(depth=-1), model.every["logits"]
    np.testing.assert_allclose(last["nll"], model.every["nll"], atol=1e-5)
    np.testing.assert_allclose(last["nll"], dataset["nll"], atol=1e-5)
    np.testing.assert_array_equal(np.isnan(last["nll"]), np.isin(np.arange(20), STARTS))
    p = softmax(expected)
    np.testing.assert_allclose(last["entropy"], -(p * np.log(p)).sum(-1), atol=1e-5)
    np.testing.assert_array_equal(last["kl"], 0)
    np.testing.assert_array_equal(last["top_id"].isel(choice=0), expected.argmax(-1))
    ordered = -np.sort(-p, axis=-1)[:, :5]
    np.testing.assert_allclose(last["top_probability"], ordered, atol=1e-6)
    assert last["top_word"].values[3] == f"t{expected[3].argmax()}"


def test_every_depth_by_hand(tiny):
    model = tiny("llama")
    result = lens(model.run.dataset(("resid",)), model.readout, answers={"t7": 7}).compute()
    ids = result["token_id"].values
    final = softmax(logits(model.readout, model.run.dataset(("resid",))["resid"].values[-1]))
    for depth in range(result.sizes["depth"]):
        each = logits(model.readout, model.every["resid"][depth].astype(np.float32))
        p = softmax(each.astype(np.float64))
        here = result.isel(depth=depth)
        np.testing.assert_allclose(here["answer_logit"][:, 0], each[:, 7], atol=1e-5)
        np.testing.assert_allclose(here["kl"], (final * np.log(final / p)).sum(-1), atol=1e-5)
        for token in range(1, 7):
            before = each[token - 1]
            assert here["rank"][token] == (before > before[ids[token]]).sum()
            nll = -np.log(p[token - 1, ids[token]])
            np.testing.assert_allclose(here["nll"][token], nll, atol=1e-5)


def test_chosen_tokens_are_those_of_all(tiny):
    model = tiny("gptj")
    dataset = model.run.dataset(("resid",))
    whole = lens(dataset, model.readout).compute()
    some = np.array([0, 3, 7, 12, 19])
    part = lens(dataset, model.readout, some).compute()
    assert part["index"].values.tolist() == some.tolist()
    for name in ("nll", "rank", "entropy", "kl", "top_id"):
        np.testing.assert_allclose(part[name], whole[name][:, some], atol=1e-6)


def test_adding_a_constant_changes_nothing_where_the_norm_centres(tiny):
    model = tiny("gpt_neox")
    dataset = model.run.dataset(("resid",))
    one, other = (
        lens(dataset.assign(resid=dataset["resid"] + shift), model.readout).compute()
        for shift in (0, np.float32(0.5))
    )
    np.testing.assert_allclose(one["nll"], other["nll"], atol=1e-5)


def test_building_computes_nothing(tiny, forbid_compute):
    model = tiny("llama")
    lens(model.run.dataset(("resid",)), model.readout)


def test_masked_tokens(tiny):
    model = tiny("bert")
    dataset = model.run.dataset(("resid",))
    result = lens(dataset, model.readout, answers={"t9": 9}).compute()
    places = np.flatnonzero(dataset["token_id"].values == MASK)
    assert result["index"].values.tolist() == places.tolist() != []
    assert "nll" not in result
    expected = logits(model.readout, dataset["resid"].values[-1][places])
    np.testing.assert_allclose(result["answer_logit"].isel(depth=-1)[:, 0], expected[:, 9])
    with pytest.raises(UsageError, match=r"no token is t4 \(id 4\)"):
        lens(dataset.isel(token=[0, 1]), model.readout)


def test_the_study_says_whether_the_law_holds(tiny):
    done = found(tiny("gemma2").run, "lens", answer=("t7",), sentence=1)
    assert done.holds
    assert "answer 't7' is the token 't7' (id 7)" in done.findings
    assert any("gives the stored loss to" in line for line in done.findings)
    assert done.result["mean_nll"].sizes == {"group": 2, "depth": 4}
    study = registry.find("lens")
    (means, words) = study.overview(done.result, done.subject)
    assert means.header == ("depth", "tokens", "loss", "KL from the last depth", "entropy")
    assert words.caption == "First choice after each token of sentence 1"
    figures = study.figures(done.result, done.subject, study.options())
    assert set(figures) == {"", "words", "loss"}


def test_an_altered_stream_is_found(tiny):
    model = tiny("llama")
    question = asked(model.run, "lens")
    dataset = question.subject.dataset
    # a factor of all dims would change nothing: the norm takes it out
    factors = np.linspace(1, 1.1, dataset.sizes["d_model"], dtype=np.float32)
    result = lens(dataset.assign(resid=dataset["resid"] * factors), model.readout)
    result["stored_nll"] = ("token", dataset["nll"].values)
    checked = result.compute().assign_attrs(dtypes=["float32"])
    assert not question.study.checks(checked)[0].holds


def test_a_long_computation_is_refused_unasked(tiny, monkeypatch):
    from actlas.analysis.lens import declaration

    monkeypatch.setattr(declaration, "MOST_FLOPS", 1e5)
    model = tiny("llama")
    question = asked(model.run, "lens")
    with pytest.raises(UsageError, match=r"more than 1e\+05: choose with --target or --first"):
        question.study.notice(question.subject, question.options)
    monkeypatch.setattr(declaration, "FLOPS", 1e4)
    allowed = asked(model.run, "lens", yes=True)
    said = allowed.study.notice(allowed.subject, allowed.options)
    assert said.startswith("lens of 20 tokens at 4 depths: about ")


def test_memory_follows_the_chunk(tiny, monkeypatch):
    from actlas.analysis.lens import compute

    model = tiny("llama")
    dataset = model.run.dataset(("resid",))
    whole = lens(dataset, model.readout).compute()
    monkeypatch.setattr(compute, "CHUNK_VALUES", 3 * 313)
    chunked = lens(dataset, model.readout)
    assert max(chunked["entropy"].chunks[1]) == 3
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_allclose(chunked["kl"].compute(), whole["kl"], atol=1e-6)
