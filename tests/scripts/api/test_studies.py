"""Every study as a function: the command's numbers and messages, tables, panels, help."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import actlas
from actlas.analysis import registry
from actlas.analysis.declaring import Subject
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.sites import DEFAULT_SITES
from actlas.pipeline.readouts.making import make_readout
from actlas.scripts.api.functions import function_of
from actlas.store import Store, UsageError
from tests.small_model import TEXTS

ROOT = Path(__file__).parents[3]
ANSWER = {"answer": "her", "bootstrap": 5}
OPTIONS = {
    "attribute": {**ANSWER, "heads": True},
    "lens": {"answer": ("her",)},
    "triangulate": ANSWER,
    "variance": {"target": "her", "bootstrap": 5},
    "cosine": {"target": "her", "bins": 10, "layers": [0, 2]},
    "histogram": {"site": "q", "bins": 12},
    "norms": {"sites": ("hook_q", "resid")},
    "reconstruct": {"pair": (0, 1)},
}


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield


@pytest.fixture(scope="module")
def varied(small_model, tmp_path_factory):
    """A store with a run and its variants, to be left as it is found."""
    store = tmp_path_factory.mktemp("varied") / "store"
    options = {"store": store, "quiet": True, "sites": (*DEFAULT_SITES, "resid_mid")}
    for layer in range(3):
        actlas.extract(TEXTS, small_model, edits=f"skip:layer={layer}", **options)
    for head in (1, 4):
        edits = f"zero:site=z,layer=2,head={head}"
        actlas.extract(TEXTS, small_model, edits=edits, **options)
    make_readout(store, resolve(str(small_model)), "heads")
    return Store(store)


@pytest.fixture(scope="module")
def run(varied):
    (baseline,) = (each for each in varied.runs() if not each.edits)
    return varied.name(baseline, "it")


def data_of(name, run, varied):
    named = registry.find(name).variants == "named"
    return varied.variants(run.id)[:2] if named else run


@pytest.fixture(scope="module")
def results(run, varied):
    """Name → result of every study of actlas."""
    found = {}
    for name in registry.BUILT_IN:
        study, data = getattr(actlas, name), data_of(name, run, varied)
        found[name] = study(data, **OPTIONS.get(name, {}))
    return found


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_result_has_numbers_sentences_tables_and_figures(results, name):
    result = results[name]
    assert result.findings
    assert all(isinstance(each, str) for each in result.findings)
    assert result.findings[0] in repr(result)
    frame = result.to_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert len(result.table()) <= len(frame) > 0
    assert frame.attrs["caption"]
    assert result.holds


def test_a_notebook_shows_findings_table_and_figure(results):
    html = results["scan"]._repr_html_()
    assert html.count("<table>") == html.count("data:image/png;base64,") == 1
    assert results["scan"].findings[0] in html
    (figure,) = results["scan"].figures().values()
    assert isinstance(figure, Figure)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_it_fits_into_a_panel_of_the_users(results, name):
    mine, other = Figure().subplots(1, 2)
    assert results[name].plot(ax=mine) is mine
    assert mine.has_data()
    assert not other.has_data()
    if name not in ("histogram", "triangulate"):  # whose axes show no layers
        results[name].plot(ax=other, layers=[1] if name == "scan" else [0, 2])
        # dots of groups stand side by side around their layer
        drawn = {round(float(x)) for line in other.lines for x in line.get_xdata()}
        assert drawn <= {0, 1, 2}
    with pytest.raises(UsageError, match="layers '77': expected some of "):
        results[name].plot(ax=mine, layers=77)


@pytest.mark.slow
def test_numbers_are_those_of_the_command(run, tmp_path):
    from tests import commands

    options = ["--store", run.folder.parents[1], "--target", "her", "--out", tmp_path]
    done = commands.run(tmp_path, "variance", "it", *options)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.nc")
    result = actlas.variance(run, target="her")
    with xr.open_dataset(path) as written:
        xr.testing.assert_allclose(result.dataset["variance"], written["variance"])
    assert result.findings[0] in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_dataset_is_as_good_as_its_run(run):
    whole, view = actlas.variance(run, target="her"), run.dataset(("q", "k", "v"))
    xr.testing.assert_identical(
        actlas.studies.variance(view, target="her").dataset["variance"], whole.dataset["variance"]
    )
    some = actlas.variance(view.sel(sentence=[0, 1, 2]), target="her")
    assert some.dataset.sizes["pair"] < whole.dataset.sizes["pair"]
    sums = actlas.reconstruct(run.dataset(("resid", "resid_mid", "attn_out", "mlp_out")))
    assert sums.holds
    np.testing.assert_array_equal(
        sums.dataset["max_abs_error"], actlas.reconstruct(run).dataset["max_abs_error"]
    )


REFUSED = {
    "key": ("variance", {"tarjet": "her"}, "variance.. unknown key 'tarjet'|unknown key"),
    "missing": ("variance", {}, "variance... no tokens to study: expected --target"),
    "kind": ("variance", {"target": 7}, "target is 7, expected text"),
    "choice": ("variance", {"target": "her", "pool": "all"}, "expected last, first, mean"),
    "bounds": ("variance", {"target": "her", "bootstrap": -1}, "bootstrap is -1, expected 0 to"),
    "word": ("variance", {"target": "zebra"}, "zebra"),
    "site": ("norms", {"sites": "hook_w"}, "unknown site of vectors 'hook_w'"),
    "pair": ("reconstruct", {"pair": [0, 2]}, "0 and 2 are not consecutive"),
    "edits": ("downstream", {}, "has no edits: expected variants"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_study_refuses_is_one_line(run, name):
    study, options, message = REFUSED[name]
    with pytest.raises(actlas.ActlasError, match=message) as raised:
        getattr(actlas, study)(run, **options)
    assert len(str(raised.value).splitlines()) == 1


def test_data_that_is_none(run, varied):
    for study, data, message in (
        (actlas.norms, "it", "got a str, expected a Run"),
        (actlas.downstream, "it", "got a str, expected variants"),
        (actlas.downstream, run.dataset("resid"), "compares stored runs"),
        (actlas.norms, xr.Dataset({"resid": 1.0}), "does not say law dtype stored_dtype"),
        (actlas.reconstruct, run.dataset("resid"), "needs the sites resid attn_out mlp_out"),
    ):
        with pytest.raises(UsageError, match=message):
            study(data)
    variants = [each for each in varied.runs() if each.edits]
    assert actlas.downstream(variants[0]).dataset.sizes["variant"] == 1


def test_help_and_completion_show_the_options():
    for name in registry.BUILT_IN:
        study, function = registry.find(name), getattr(actlas, name)
        parameters = inspect.signature(function).parameters
        assert ["data", *(field.name for field in fields(study.options))] == [*parameters]
        assert all(f"\n{option}: " in function.__doc__ for option in parameters)
        assert function.__name__ == name
    assert inspect.signature(actlas.variance).parameters["bootstrap"].default == 1000
    assert set(registry.BUILT_IN) <= {*dir(actlas)} & {*dir(actlas.studies)}
    with pytest.raises(AttributeError, match="no study 'varianze': expected attribute"):
        _ = actlas.studies.varianze


def test_type_checkers_see_the_studies():
    source = (ROOT / "actlas/__init__.py").read_text(encoding="utf-8")
    assert set(re.findall(r"^    (\w+): StudyFunction$", source, re.M)) == {*registry.BUILT_IN}


def test_a_study_of_another_package_is_a_function_too(run):
    code = "import actlas; print(actlas.spread.__name__, 'spread' in dir(actlas.studies))"
    path = f"{ROOT / 'tests/plugin'}"
    info = ROOT / "tests/plugin/actlas_spread"
    assert info.is_dir()
    point = "import importlib.metadata as m; real = m.entry_points\n"
    point += "spread = 'spread', 'actlas_spread:Spread'\n"
    point += "m.entry_points = lambda group: [m.EntryPoint(*spread, group)]\n"
    done = subprocess.run(
        [sys.executable, "-c", point + code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.split() == ["spread", "True"], done.stderr


def test_a_study_without_a_panel_says_so(run):
    study = registry.find("variance")
    with pytest.raises(UsageError, match="study variance has no single panel"):
        super(type(study), study).panel(None, None, Subject("it", None), None)
    assert function_of("nothing") is None
