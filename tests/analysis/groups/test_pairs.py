"""Groups compared within pairs of sentences, against NumPy by itself."""

import numpy as np
import pytest
import xarray as xr

import actlas
from actlas.analysis.groups import select_groups
from actlas.analysis.groups.means import with_means
from actlas.analysis.groups.resampling import resampling
from actlas.store import UsageError
from actlas.store.reading.concat import concat_runs
from tests.scripts.extraction.kept_runs import TEXTS

WORDS = 4  # of each sentence
PAIRS = ["x", "y", "x", "z", "y", "w", "z", "", "v"]  # the last two have no partner
USES = ["a", "b", "b", "a", "a", "b", "b", "a", "a"]
RESAMPLES, SEED = 40, 7


@pytest.fixture
def labels():
    """Nine sentences of four words; pairs x, y and z have both uses."""
    count = len(PAIRS)
    sentence = np.repeat(np.arange(count), WORDS).astype(np.int32)
    position = np.tile(np.arange(WORDS), count).astype(np.int32)
    text = np.array(["aa bb cc dd"] * count, dtype=object)
    on_tokens = {"pair": np.array(PAIRS, dtype=object), "use": np.array(USES, dtype=object)}
    coords = {name: ("token", values[sentence]) for name, values in on_tokens.items()}
    coords["each"] = ("token", sentence.astype(str).astype(object))
    coords |= {
        "sentence": ("token", sentence),
        "position": ("token", position),
        "token_id": ("token", position),
        "char_start": ("token", position * 3),
        "char_end": ("token", position * 3 + 2),
        "text": ("token", text[sentence]),
    }
    return xr.Dataset(coords=coords)


def by_hand(values, word):
    """Return the difference b − a at ``word`` of the pairs in order: (pair, …)."""
    rows = {}
    for number, (pair, use) in enumerate(zip(PAIRS, USES, strict=True)):
        rows.setdefault(pair, {})[use] = values[..., number * WORDS + word]
    whole = [each for pair, each in rows.items() if pair and len(each) == 2]
    return np.stack([each["b"] - each["a"] for each in whole])


def groups_of(labels, **options):
    named = {"b": "cc,use:b", "a": "cc,use:a"}
    return select_groups(labels, named, within="pair", seed=SEED, **options)


@pytest.mark.parametrize("lazy", [False, True])
def test_differences_are_those_within_pairs_and_intervals_over_pairs(labels, lazy):
    random = np.random.default_rng(0)
    raw = random.normal(size=(2, labels.sizes["token"]))
    raw[1, 2] = np.nan  # of one pair in one layer
    values = xr.DataArray(raw, dims=("layer", "token"), attrs={"long_name": "a number"})
    values = values.chunk({"layer": 1}) if lazy else values
    groups = groups_of(labels)
    assert groups.paired == ("x", "y", "z")
    assert groups.cluster == "pair"
    assert groups.notes == ("3 pairs by pair; left out are 2 without a token of each group",)
    drawn = resampling(groups.clusters, resamples=RESAMPLES, seed=SEED)
    tokens = np.arange(labels.sizes["token"])
    result = with_means(xr.Dataset(), "number", values, groups, tokens, drawn).compute()
    wanted = by_hand(raw, 2)  # (pair, layer)
    np.testing.assert_allclose(result["number_pair"].isel(contrast=0).values, wanted)
    assert result["pair"].values.tolist() == ["x", "y", "z"]
    np.testing.assert_allclose(result["number_contrast"].values[0], np.nanmean(wanted, axis=0))
    weights = np.random.default_rng(SEED).multinomial(3, [1 / 3] * 3, RESAMPLES)
    there = ~np.isnan(wanted)
    counts = weights @ there
    sums = weights @ np.where(there, wanted, 0)
    draws = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    limits = np.nanpercentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(result["number_contrast_interval"].isel(contrast=0), limits)


def test_of_several_tokens_in_a_pair_one_is_drawn(labels):
    groups = select_groups(labels, {"b": "bb|cc,use:b", "a": "cc,use:a"}, within="pair", seed=SEED)
    assert [len(groups[name]) for name in ("b", "a")] == [3, 3]
    assert set(labels["pair"].values[groups["b"]]) == {"x", "y", "z"}
    assert "3 further tokens of pairs" in groups.notes[0]
    again = select_groups(labels, {"b": "bb|cc,use:b", "a": "cc,use:a"}, within="pair", seed=SEED)
    assert again["b"].tolist() == groups["b"].tolist()
    left = groups.among(groups.tokens[groups.tokens != groups["a"][1]])  # a pair goes as a whole
    assert left.paired == ("x", "z")
    assert left["b"].tolist() == groups["b"][[0, 2]].tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cluster": "use"}, "leave --cluster out"),
        ({"match": "position"}, "leave --match out"),
        ({"within": "twin"}, "unknown column of pairs 'twin'"),
        ({"within": "each"}, "--within each: no pair has tokens of each of b, a"),
        ({"within": "use"}, "tokens of 1 cluster"),
        ({"groups": {"a": "cc"}}, "expected two groups to be compared"),
    ],
)
def test_what_is_no_pair_is_refused(labels, options, said):
    given = {"groups": {"b": "cc,use:b", "a": "cc,use:a"}, "within": "pair", **options}
    if "groups" in options:
        labels = labels.isel(token=labels["position"].values == 2)
    with pytest.raises(UsageError, match=said):
        select_groups(labels, **given)


def test_sentences_of_two_runs_are_paired(small_model, tmp_path):
    runs = []
    for name, texts in (("clean", TEXTS[:3]), ("other", TEXTS[4:1:-1])):
        table = [{"text": text, "item": f"i{n}"} for n, text in enumerate(texts)]
        runs.append(
            actlas.extract(
                table,
                str(small_model),
                store=tmp_path / "s",
                name=name,
                sites=["resid"],
                tokens="last",
                quiet=True,
                readout=False,
            )
        )
    views = [run.dataset() for run in runs]
    both = concat_runs(views)
    named = {"clean": f"run:{runs[0].id}", "other": f"run:{runs[1].id}"}
    groups = select_groups(both, named, within="item")
    one, other = (both["resid"].isel(token=groups[name]).values for name in ("clean", "other"))
    rows = [view["resid"].values for view in views]
    np.testing.assert_array_equal(one - other, rows[0] - rows[1])
    with pytest.raises(UsageError, match="no activations are kept of its 6 tokens"):
        select_groups(both, {"before": "position:-2", "last": "position:-1"})
    found = actlas.norms(both, group=[f"{k}={v}" for k, v in named.items()], within="item")
    lengths = [np.sqrt((each.astype(np.float64) ** 2).sum(-1)) for each in rows]
    contrast = found.dataset["mean_norm_resid_contrast"].sel(contrast="clean:other")
    np.testing.assert_allclose(contrast, (lengths[0] - lengths[1]).mean(-1), rtol=1e-6)
