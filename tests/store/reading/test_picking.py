"""``run[site, layer]`` is what ``run.dataset`` has there, by every name, or one line says why."""

import numpy as np
import pytest
import xarray as xr

from actlas.pipeline.models.sites import SITES
from actlas.store import Store, UsageError
from actlas.store.reading.hook_names import HOOKS, WITHOUT_LAYER
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection
from tests.store.making import Content, make_run, make_variant

PICKED = {
    "q": ({}, ("q",)),
    "layer": ({"layer": 2}, ("q", 2)),
    "numpy's number": ({"layer": 2}, ("q", np.int64(2))),
    "hook": ({"layer": 1}, ("blocks.1.attn.hook_q",)),
    "hook, layer": ({"layer": 1}, ("hook_q", 1)),
    "list": ({"layer": [2, 0]}, ("q", [2, 0])),
    "slice": ({"layer": [0, 1]}, ("q", slice(None, 2))),
    "depth": ({"depth": 3}, ("resid", 3)),
    "pre": ({"depth": 1}, ("blocks.1.hook_resid_pre",)),
    "post": ({"depth": 2}, ("blocks.1.hook_resid_post",)),
    "post, layer": ({"depth": 3}, ("hook_resid_post", 2)),
    "all pre": ({"depth": [0, 1, 2]}, ("hook_resid_pre",)),
    "all post": ({"depth": [1, 2, 3]}, ("hook_resid_post",)),
    "some post": ({"depth": [2, 3]}, ("hook_resid_post", slice(1, None))),
    "last": ({}, ("ln_final.hook_normalized",)),
    "loss": ({}, ("nll",)),
}


@pytest.mark.parametrize("name", PICKED)
def test_every_spelling_picks_what_the_dataset_has(stored, name):
    where, key = PICKED[name]
    site = HOOKS.get(key[0].split(".", 2)[-1] if key[0].startswith("blocks") else key[0], key[0])
    expected = stored.dataset(site)[site].sel(where)
    xr.testing.assert_identical(stored[key if len(key) > 1 else key[0]], expected)


REFUSED = {
    "name": ("qq", "unknown site 'qq': did you mean q"),
    "hook": ("blocks.1.attn.hook_w", "did you mean blocks.1.attn.hook_"),
    "not stored": ("blocks.0.mlp.hook_post", "mlp_post.* adds it"),
    "layer": (("q", 3), "q has layers 0 to 2, got 3"),
    "negative": (("q", -1), "q has layers 0 to 2, got -1"),
    "slice": (("q", slice(-1, None)), "layers are counted from 0, expected some of 0 to 2"),
    "depth": (("resid", 4), "resid has depths 0 to 3, got 4"),
    "post": ("blocks.3.hook_resid_post", "has layers 0 to 2, got 3"),
    "twice": (("blocks.1.attn.hook_q", 1), "says its layer"),
    "no layer": (("nll", 1), "nll has no layer, expected run"),
    "no layer, hook": ("blocks.1.ln_final", "final_norm has no layer, expected ln_final"),
    "kind": (("q", "two"), "got 'two', expected such as"),
    "number": (0, "got '0', expected such as"),
    "three": (("q", 1, 2), "expected such as"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_picked(stored, name):
    key, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as raised:
        stored[key]
    assert len(str(raised.value).splitlines()) == 1


def test_an_export_of_some_layers(stored, tmp_path):
    export(stored, tmp_path / "some.h5", Selection(sites=("q", "resid"), layers=(0, 2)))
    run = Exported(tmp_path / "some.h5")
    np.testing.assert_array_equal(run["q", 2], stored["q", 2])
    with pytest.raises(UsageError, match="q has layers 0, 2, got 1"):
        run["q", 1]


def test_the_names_are_those_of_the_sites_there_are():
    assert set(HOOKS.values()) <= {*SITES}
    assert {name for name, site in SITES.items() if site.dims[0] == "token"} == {*WITHOUT_LAYER}
    assert stored_completions() == ["q"]


def stored_completions():
    class OneSite:
        sites = ("q",)

    from actlas.store.reading.picking import Picking

    return Picking._ipython_key_completions_(OneSite())


@pytest.fixture
def varied(tmp_path):
    before, after = Content(seed=1), Content(seed=2)
    baseline = make_run(tmp_path / "store", before, "mine", edits=[], tokens="same")
    return baseline, make_variant(tmp_path / "store", baseline, after), tmp_path / "store"


def test_a_tree_has_the_baseline_and_its_variants(varied):
    baseline, variant, path = varied
    tree = Store(path).tree("mine*", sites=("resid", "nll"))
    (name,) = tree.children
    assert name == "skip-layer-1"
    xr.testing.assert_identical(tree.to_dataset()["resid"], baseline.dataset("resid")["resid"])
    np.testing.assert_array_equal(tree[name]["resid"], variant["resid"])
    moved = tree.map_over_datasets(lambda dataset: dataset.sel(sentence=1).mean("token"))
    np.testing.assert_allclose(
        moved[name]["nll"], variant.dataset("nll")["nll"].sel(sentence=1).mean()
    )
    assert set(Store(path).tree("mine").data_vars) == set(baseline.sites)
    with pytest.raises(UsageError, match="no run has a name like 'your"):
        Store(path).tree("your*")
    make_run(path, Content(seed=3), "mine-2", edits=[], tokens="other")
    with pytest.raises(UsageError, match="different baselines: give a pattern of one"):
        Store(path).tree("mine*")


def test_a_notebook_shows_a_store_and_nothing_of_it_as_markup(varied):
    baseline, _, path = varied
    store, bad = Store(path), "<script>alert(1)</script>"
    assert "actlas store" in store._repr_html_()
    assert f">{baseline.tokens}<" in store._repr_html_()
    run = store.run("mine")
    run.names, run.description = (bad,), {**run.description, "model": {"name": bad}}
    store.survey = lambda: ([run], {bad: ValueError(bad)})
    shown = store._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 4
