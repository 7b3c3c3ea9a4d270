"""Norms, steps, spread and shares against NumPy on whole arrays.

They agree for any split into units and any magnitudes.
"""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actlas.analysis.data.group_names import FIRST, LATER
from actlas.analysis.data.sites import VECTOR_SITES
from actlas.analysis.data.tokens import Target
from actlas.analysis.groups import select_groups
from actlas.analysis.groups.choice import GroupChoice
from actlas.analysis.groups.selection import chosen_groups
from actlas.analysis.norms.compute import STATISTICS, norm_profile, norm_statistics
from actlas.pipeline.models.sites import SITES
from actlas.store.errors import UsageError
from tests import strategies
from tests.extraction import extract_texts
from tests.small_model import TEXTS

UNDEFINED = {"pattern", "nll"}
FLOAT32 = 3e-7  # norms of float32, from squares in float32


def statistics(norms):
    """(…, token) → (…, statistic), in NumPy."""
    quartiles = np.quantile(norms, (0.25, 0.5, 0.75), axis=-1)
    return np.stack([norms.mean(-1), *quartiles, norms.max(-1)], -1)


@pytest.mark.slow
@given(strategies.residuals(), st.data())
def test_agrees_with_numpy_for_any_split(resid, data):
    tokens = resid.sizes["token"]
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, tokens - 1), min_size=1))))
    groups = {"all": np.arange(tokens), "some": chosen, "none": chosen[:0]}
    units = data.draw(strategies.splits(tokens))
    wide = resid.values.astype(np.float64)
    for given_resid in (resid, resid.chunk({"depth": 1, "token": units})):
        got = norm_profile(xr.Dataset({"resid": given_resid}), groups, sums=True)
        for group in ("all", "some"):
            part = wide[:, groups[group]]
            of_group = got.sel(group=group)
            np.testing.assert_allclose(
                of_group["norm_resid"], statistics(np.linalg.norm(part, axis=-1)), rtol=1e-12
            )
            np.testing.assert_allclose(of_group["std"], part.std((1, 2)), rtol=1e-9, atol=1e-12)
            steps = [np.linalg.norm(step) for step in np.diff(part, axis=0)]
            np.testing.assert_allclose(of_group["step"], [np.nan, *steps], rtol=1e-12)
        assert got["tokens"].values.tolist() == [tokens, len(chosen), 0]
        assert np.isnan(got["norm_resid"].sel(group="none")).all()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.floats(-1, 1, width=32),
    ),
    st.sampled_from([1e-44, 1e-38, 1e-25, 1e-3, 1, 1e4, 1e18, 1e20, 1e37]),
    st.data(),
)
def test_norms_of_any_magnitude(values, magnitude, data):
    rows = xr.DataArray(values * np.float32(magnitude), dims=("token", "d_model"))
    rows[0, 0] = data.draw(st.sampled_from([rows.values[0, 0], 0, 3e38, np.nan, np.inf]))
    chosen = {"all": np.arange(rows.sizes["token"])}
    units = data.draw(strategies.splits(rows.sizes["token"]))
    for given_rows in (rows, rows.chunk(token=units)):
        with np.errstate(invalid="ignore"):
            expected = statistics(np.linalg.norm(rows.values.astype(np.float64), axis=-1))
            np.testing.assert_allclose(
                norm_statistics(given_rows, chosen)[0], expected, rtol=FLOAT32
            )


def test_norms_of_wide_vectors_keep_float32s_digits():
    values = np.random.default_rng(0).normal(size=(50, 25600)).astype(np.float32)
    values[:, :3] *= 3000  # massive activations
    got = norm_statistics(xr.DataArray(values, dims=("token", "d_mlp")), {"all": np.arange(50)})
    np.testing.assert_allclose(
        got[0], statistics(np.linalg.norm(values.astype(np.float64), axis=-1)), rtol=FLOAT32
    )


@pytest.fixture(scope="module")
def run(small_model, tmp_path_factory):
    sites = ("resid", "q", "z", "attn_out", "mlp_out", "mlp_post", "final_norm", "nll")
    return extract_texts(
        tmp_path_factory.mktemp("norms") / "store", small_model, TEXTS, sites, unit_tokens=60
    )[0]


def test_every_site_of_a_run_equals_the_plain_way(run):
    dataset = run.dataset()
    groups = select_groups(dataset, first_token="group", every=True)
    result = norm_profile(dataset, groups, sums=True).compute()
    assert {name for name in result if name.startswith("norm_")} == {
        f"norm_{site}" for site in run.sites if site != "nll"
    }
    for site in ("resid", "q", "z", "mlp_post", "final_norm"):
        norms = np.linalg.norm(dataset[site].values.astype(np.float64), axis=-1)
        norms = np.moveaxis(norms, dataset[site].dims.index("token"), -1)  # (layer, head, token)
        for group, tokens in groups.items():
            digits = 1e-12 if site == "resid" else FLOAT32
            np.testing.assert_allclose(
                result[f"norm_{site}"].sel(group=group), statistics(norms[..., tokens]), rtol=digits
            )
    assert result["norm_q"].dims == ("group", "layer", "head", "statistic")
    assert result["norm_final_norm"].dims == ("group", "statistic")
    assert result["statistic"].values.tolist() == list(STATISTICS)


def test_shares_of_the_sum_add_up_to_one(run):
    dataset = run.dataset()
    groups = select_groups(dataset, first_token="group", every=True)
    share = norm_profile(dataset, groups, sums=True)["share"]
    resid = dataset["resid"].values.astype(np.float64)
    kept = (resid[:-1] * resid[1:]).sum(-1) / (resid[1:] ** 2).sum(-1)  # (layer, token)
    for group, tokens in groups.items():
        np.testing.assert_allclose(
            share.sel(group=group).sum("writer") + kept[:, tokens].mean(-1), 1, rtol=1e-6
        )
    attention = (dataset["attn_out"].values.astype(np.float64) * resid[1:]).sum(-1) / (
        resid[1:] ** 2
    ).sum(-1)
    np.testing.assert_allclose(
        share.sel(group=LATER, writer="attention"), attention[:, groups[LATER]].mean(-1), rtol=1e-9
    )


def test_every_site_is_measured_or_left_out_on_purpose():
    assert set(VECTOR_SITES) | UNDEFINED >= set(SITES)
    assert not set(VECTOR_SITES) & UNDEFINED


def labelled():
    labels = strategies.labels(["Mary saw her", "saw her there", "the cup", "her cup her"])
    of_token = labels["sentence"].values
    columns = {"kind": np.array(["x", "y", "x", "y"]), "year": np.array([1, 2, 1, 2])}
    return labels.assign_coords(
        {name: ("token", column[of_token]) for name, column in columns.items()}
    )


def test_groups_keep_the_first_token_apart():
    choice = GroupChoice(
        target=Target("her", occurrence="last"), by="kind", first_token="group", every=True
    )
    groups = chosen_groups(labelled(), choice)
    assert {name: tokens.tolist() for name, tokens in groups.items()} == {
        FIRST: [0, 3, 6, 8],
        LATER: [1, 2, 4, 5, 7, 9, 10],
        "target": [2, 10],
        "control": [1, 9],
        "kind=x": [1, 2, 7],
        "kind=y": [4, 5, 9, 10],
    }
    assert select_groups(labelled(), by="year")["year=2"].tolist() == [4, 5, 9, 10]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("text", "known: kind, year"),
        ("kid", "did you mean kind"),
        ("position", "unknown label column 'position'"),
    ],
)
def test_an_unknown_column_names_those_there_are(by, message):
    with pytest.raises(UsageError, match=message):
        select_groups(labelled(), by=by)


def test_a_column_of_measurements_is_no_label():
    labels = strategies.labels(["the cup"] * 30).assign_coords(
        score=("token", np.repeat(np.arange(30), 2) / 7)
    )
    with pytest.raises(UsageError, match="'score' has 30 values, expected at most 24"):
        select_groups(labels, by="score")


@pytest.mark.usefixtures("forbid_compute")
def test_builds_without_computing(run):
    dataset = run.dataset()
    result = norm_profile(
        dataset, select_groups(dataset, first_token="group", every=True), sums=True
    )
    assert all(
        result[name].chunks is not None for name in ("norm_resid", "norm_q", "step", "std", "share")
    )
