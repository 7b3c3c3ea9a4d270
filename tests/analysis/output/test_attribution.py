"""Attribution of every family: sums to the oracle's logits; heads to attention; what is refused."""

import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.attribution.answers import column_answers, last_tokens, word_answers
from actlas.analysis.attribution.compute import EDITED, Answers, attribution
from actlas.analysis.attribution.declaration import AttributeOptions
from actlas.analysis.attribution.neurons import Neurons, with_neurons
from actlas.analysis.declaring import PlannedRun
from actlas.analysis.groups.means import with_means
from actlas.analysis.groups.resampling import resampling
from actlas.analysis.groups.token_groups import Members, Origin, TokenGroups
from actlas.store.errors import UsageError
from tests.analysis.laws.asking import asked, found

FEW = ("gpt_neox", "gptj", "llama-biases", "gemma2")
SLOW = (
    "gpt_neo",
    "llama-tied",
    "mistral",
    "qwen2",
    "qwen3",
    "phi3",
    "gemma",
    "gemma3",
    "llama",
    "phi",
    "olmo2",
)
NAMES = [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
PARTS = ("resid", "attn_out", "mlp_out")
TOKENS = np.array([2, 6, 9, 15])
TWO = Answers(TOKENS, np.array([7, 9, 7, 30]), np.array([9, 7, 9, 31]))


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_to_the_logits(tiny, name):
    model = tiny(name)
    sites = PARTS if model.heads is None else (*PARTS, "z")
    result = attribution(model.run.dataset(sites), model.readout, TWO, model.heads).compute()
    uncapped = model.every["final_norm"] @ model.readout.unembed.astype(np.float64).T
    if model.readout.bias is not None:
        uncapped = uncapped + model.readout.bias
    expected = uncapped[TOKENS, TWO.answer] - uncapped[TOKENS, TWO.against]
    np.testing.assert_allclose(result["total"], expected, atol=1e-5)
    np.testing.assert_allclose(result["logit_difference"], expected, atol=1e-5)
    if model.heads is not None:
        heads = result["head_attribution"].sum("head") + result["head_bias"]
        attention = result["attribution"].sel(part="attention")
        np.testing.assert_allclose(heads, attention, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_neurons_add_up_to_the_mlp(tiny, name):
    model = tiny(name)
    dataset = model.run.dataset((*PARTS, "mlp_post"))
    groups = groups_of({"all": np.arange(4), "few": np.array([1, 3]), "none": np.array([], int)})
    result = attribution(dataset, model.readout, TWO)
    neurons = Neurons(dataset, model.readout, model.neurons, TWO)
    found = with_neurons(result, neurons, groups, 5).compute()
    part = found["attribution"].sel(part="MLP")
    np.testing.assert_allclose(found["neuron_sum"] + found["neuron_bias"], part, atol=1e-5)
    assert (np.abs(found["neuron_bias"]).max() > 0) == ("b_out" in model.neurons)
    means = found["mean_every_neuron"]
    assert means.sel(group="none").isnull().all()
    for layer, name in ((0, "all"), (2, "few")):
        at = {"layer": layer, "group": name}
        total = means.sel(at).sum("d_mlp")
        chosen = found["neuron_sum"].sel(layer=layer).values[np.searchsorted(TOKENS, groups[name])]
        assert float(total) == pytest.approx(chosen.mean(), abs=1e-9)
        best = found["neuron"].sel(layer=layer).values
        most = np.abs(means.sel(layer=layer)).max("group")
        np.testing.assert_array_equal(np.sort(best), np.sort(np.argsort(-most.values)[:5]))
        each = found["neuron_attribution"].sel(layer=layer)
        places = np.searchsorted(TOKENS, groups[name])
        np.testing.assert_allclose(each[:, places].mean("token"), means.sel(at)[best], atol=1e-12)


def groups_of(places):
    """Return groups of the tokens at ``places`` of TOKENS."""
    members, every = {}, np.arange(TOKENS.max() + 1)
    for name, chosen in places.items():
        tokens = TOKENS[chosen]
        members[name] = Members(tokens, tokens, Origin(every, every, every))
    return TokenGroups(members)


def test_it_is_linear_and_centred_logits_cancel(tiny):
    model = tiny("gpt_neox")
    dataset = model.run.dataset(PARTS)
    forth = attribution(dataset, model.readout, TWO).compute()
    back = attribution(dataset, model.readout, Answers(TOKENS, TWO.against, TWO.answer)).compute()
    np.testing.assert_allclose(forth["attribution"], -back["attribution"], atol=1e-12)
    plain = Answers(TOKENS, TWO.answer, np.full(4, -1))
    other = Answers(TOKENS, TWO.against, np.full(4, -1))
    one, two = (attribution(dataset, model.readout, each).compute() for each in (plain, other))
    np.testing.assert_allclose(one["total"] - two["total"], forth["total"], atol=1e-9)


def test_an_edited_layer_is_one_part(tiny):
    model = tiny("llama-biases")
    dataset = model.run.dataset(PARTS)
    changed = dataset.assign(mlp_out=dataset["mlp_out"] * np.float32(3))
    result = attribution(changed, model.readout, TWO, edited=range(3)).compute()
    assert result["part"].values.tolist() == ["attention", "MLP", EDITED]
    np.testing.assert_allclose(result["total"], result["logit_difference"], atol=1e-5)
    np.testing.assert_array_equal(result["attribution"].sel(part="MLP"), 0)


def test_building_computes_nothing(tiny, forbid_compute):
    model = tiny("llama-biases")
    dataset = model.run.dataset((*PARTS, "z", "mlp_post"))
    result = attribution(dataset, model.readout, TWO, model.heads)
    neurons = Neurons(dataset, model.readout, model.neurons, TWO)
    with_neurons(result, neurons, groups_of({"all": np.arange(4)}), 3)


def test_which_tokens_are_asked(tiny):
    model = tiny("llama-biases")
    dataset = model.run.dataset(PARTS)
    ids = dataset["token_id"].values
    word, other = f"t{ids[3]}", f"t{ids[9]}"
    before = word_answers(dataset, model.readout, word, other, "before")
    assert 2 in before.tokens
    assert (ids[before.tokens + 1] == ids[3]).all()
    either = word_answers(dataset, model.readout, word, other, "either")
    assert {2, 8} <= set(either.tokens.tolist())
    np.testing.assert_array_equal(ids[either.tokens + 1], either.answer)
    assert last_tokens(dataset).tolist() == [6, 10, 19]
    labelled = dataset.assign_coords(good=("token", np.repeat(["t7", "t8", "t9"], [7, 4, 9])))
    assert column_answers(labelled, model.readout, "good", None).answer.tolist() == [7, 8, 9]
    with pytest.raises(UsageError, match="unknown label column 'goood': did you mean good"):
        column_answers(labelled, model.readout, "goood", None)
    with pytest.raises(UsageError, match="no token is followed by 't3'"):
        word_answers(dataset, model.readout, "t3", None, "before")
    with pytest.raises(UsageError, match="are one token"):
        word_answers(dataset, model.readout, "t3", "t3", "last")


def test_means_of_groups_are_over_those_that_are_asked():
    """Clusters are drawn again; a group of one cluster has no interval, of none no mean."""
    import xarray as xr

    random = np.random.default_rng(0)
    cluster = np.repeat(np.arange(40), 5)
    drawn_of = {"all": np.arange(200), "one": np.arange(3), "none": np.arange(200, 205)}
    members, every = {}, np.arange(205)
    origin = Origin(every // 5, every % 5, every // 5)
    for name, tokens in drawn_of.items():
        members[name] = Members(tokens, tokens, origin)
    asked = TokenGroups(members, contrasts=(("all", "one"),)).among(np.arange(200))
    values = xr.DataArray(random.normal(size=40)[cluster] + 3, dims="token").chunk(token=50)
    drawn = resampling(asked.clusters, resamples=500, seed=0)
    result = with_means(xr.Dataset(), "mean", values, asked, np.arange(200), drawn).compute()
    every = result.sel(group="all")
    low, high = every["mean_interval"].values
    assert low < float(every["mean"]) < high
    assert float(every["mean"]) == pytest.approx(float(values.mean()))
    # tokens of a cluster are one draw: the interval is that of 40, not of 200
    assert high - low > 2.5 * 1.96 * float(values.std()) / 200**0.5
    assert float(result["mean"].sel(group="one")) == pytest.approx(float(values[:3].mean()))
    assert np.isnan(result["mean_interval"].sel(group=["one", "none"])).all()
    assert np.isnan(result["mean"].sel(group="none"))
    expected = float(values.mean() - values[:3].mean())
    assert float(result["mean_contrast"][0]) == pytest.approx(expected)


def test_the_study(tiny):
    asks = {"answer": "t7", "against": "t9", "at": "last", "heads": True, "neurons": 4}
    done = found(tiny("llama-biases").run, "attribute", **asks)
    assert done.holds
    assert "('t7' − 't9'): " in done.findings[0]
    assert done.findings[1].startswith("'t7' − 't9': ")
    with pytest.raises(UsageError, match="none of the 3 tokens that are asked is of a group"):
        found(
            tiny("llama-biases").run,
            "attribute",
            answer="t7",
            at="last",
            group=("a=position:0-1", "b=position:2"),
        )
    study = registry.find("attribute")
    layers, heads, neurons = study.overview(done.result, done.subject)
    assert layers.header == ("layer", "attention", "MLP")
    assert heads.rows[0][0][0].startswith("L")
    assert neurons.header == ("neuron", "mean", "from", "to")
    assert len(neurons.rows) == 3 * 4
    first = neurons.rows[0][0][0]
    assert any(f"of single neurons {first} (" in line for line in done.findings)
    assert sum("add up to" in check.claim for check in study.checks(done.result)) == 3
    options = study.options(answer="t7")
    assert set(study.figures(done.result, done.subject, options)) == {"", "heads", "neurons"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give --answer WORD or --answer-column COLUMN"),
        ({"answer": "a", "answer_column": "b"}, "one of the two"),
        ({"answer_column": "a", "against": "b"}, "give --against-column COLUMN"),
        ({"answer": "a", "against_column": "b"}, "give --against WORD"),
        ({"answer_column": "a", "at": "before"}, "columns are asked at the last token"),
        ({"answer": "a", "at": "either"}, "give --against WORD"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(UsageError, match=message):
        AttributeOptions(**options)


def test_what_is_refused(tiny):
    with pytest.raises(UsageError, match="no logit that is a sum of its parts: a LayerNorm"):
        found(tiny("bert").run, "attribute", answer="t7")
    study = registry.find("attribute")
    with pytest.raises(UsageError, match="the model has no logit"):
        study.check(
            AttributeOptions(answer="a"), PlannedRun(3, (), (), lambda: None, "post", False)
        )
    with pytest.raises(UsageError, match="unknown column 'b'"):
        study.check(
            AttributeOptions(answer_column="b"), PlannedRun(3, ("a",), (), lambda: None, "add")
        )
    with pytest.raises(UsageError, match="'nothing' is not one token"):
        found(tiny("llama-biases").run, "attribute", answer="nothing")
    with pytest.raises(UsageError, match="has no output matrices of attention"):
        asked_heads = asked(tiny("gemma2").run, "attribute", answer="t7", at="last", heads=True)
        asked_heads.study.compute(asked_heads.subject, asked_heads.options)


def test_neurons_of_groups_are_compared(tiny):
    asks = {"answer": "t7", "at": "last", "first_token": "include", "neurons": 3}
    lengths = ("short=position:0-4", "long=position:5-8")
    done = found(tiny("llama-biases").run, "attribute", group=lengths, **asks)
    study = registry.find("attribute")
    tables = {table.caption: table for table in study.tables(done.result)}
    compared = tables["Difference of what a neuron adds"]
    assert compared.rows[0][1][0].startswith("L")
