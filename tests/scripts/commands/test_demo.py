"""The demo from a user's side, and what it must show.

Context enters the word "her", block by block.
"""

import numpy as np
import pytest
import xarray as xr

from actlas.analysis.cosine.compute import cosine_histograms
from actlas.analysis.data.tokens import Target, select_tokens
from actlas.store import Store
from tests import commands


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo twice; return its folder and both outputs."""
    folder = tmp_path_factory.mktemp("demo")
    runs = [commands.run(folder, "demo", "out") for _ in range(2)]
    assert [(run.returncode, run.stderr) for run in runs] == [(0, "")] * 2
    return folder / "out", [run.stdout for run in runs]


@pytest.fixture(scope="module")
def variance(demo):
    with xr.open_dataset(
        demo[0] / "results" / "variance" / "variance.nc", engine="h5netcdf"
    ) as result:
        return result["variance"].load()


@pytest.mark.slow
def test_demo_tells_where_things_are_and_answers_from_the_store(demo):
    folder, (first, second) = demo
    assert (folder / "results" / "variance" / "variance.png").stat().st_size > 10_000
    assert "54 pairs of 'her'" in first
    assert (first.count("computed in"), first.count("up to date")) == (3, 0)
    assert (second.count("computed in"), second.count("up to date")) == (0, 11)


def test_target_starts_alike_everywhere(variance):
    first = variance.sel(layer=0)
    assert (first.sel(group="target") < 0.05 * variance.sel(group="target", layer=7)).all()
    assert (first.sel(group="target") < 0.05 * first.sel(group="control")).all()


def test_target_grows_with_depth(variance):
    target = variance.sel(group="target")
    assert (
        target.sel(layer=[6, 7]).mean("layer") > 1.15 * target.sel(layer=[1, 2]).mean("layer")
    ).all()
    slopes = [np.polyfit(target["layer"], target.sel(projection=p), 1)[0] for p in "qkv"]
    assert min(slopes) > 0.01


def test_target_features_move_together_first_and_apart_later(demo):
    run = Store(demo[0] / "store").run("her-demo")
    dataset = run.dataset(("q", "k", "v"))
    result = cosine_histograms(dataset, select_tokens(dataset, Target("her"))).compute()
    alike = result["mean_abs"].sel(group="target", projection_pair="QQ")
    assert alike.sel(layer=0) > 0.9
    assert alike.sel(layer=7) < 0.6
    assert (result["mean_abs"].sel(group="control", projection_pair="QQ", layer=0) < 0.5).all()


def test_control_is_diverse_from_the_start(variance):
    control = variance.sel(group="control")
    assert (control.sel(layer=0) > 0.25 * control.max("layer")).all()
    assert (control > variance.sel(group="target")).all()
