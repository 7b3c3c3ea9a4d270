"""Studies of the residual stream on exports that leave layers out.

The numbers of the run, for the layers there are.
"""

import numpy as np
import pytest

from actlas.analysis.groups import select_groups
from actlas.analysis.norms.compute import norm_profile
from actlas.analysis.norms.outliers import outliers
from actlas.analysis.reconstruction.compute import Precision, reconstruction
from actlas.analysis.reconstruction.laminar import Mask, laminar_correlation
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection
from tests.store.making import Content, make_run

SITES = ("resid", "attn_out", "mlp_out", "q")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    content = Content(dtypes=dict.fromkeys(SITES, "float32"), sizes={"layer": 4, "depth": 5})
    return make_run(tmp_path_factory.mktemp("exports") / "store", content)


@pytest.fixture(params=[(0,), (1, 2), (0, 3), (0, 2), (0, 1, 2, 3)], ids=str)
def layers(request):
    return request.param


@pytest.fixture
def part(run, layers, tmp_path):
    return export(run, tmp_path / "part.h5", Selection(layers=layers))[0].dataset()


def test_norms(run, part, layers):
    whole = run.dataset()
    wanted, got = (
        norm_profile(
            whole, select_groups(whole, first_token="group", every=True), sums=True
        ).compute(),
        norm_profile(
            part, select_groups(part, first_token="group", every=True), sums=True
        ).compute(),
    )
    assert got["layer"].values.tolist() == list(layers)
    depths = sorted({*layers, *(layer + 1 for layer in layers)})
    assert got["depth"].values.tolist() == depths
    for name in ("norm_resid", "std"):
        np.testing.assert_allclose(got[name], wanted[name].sel(depth=depths), rtol=1e-12)
    for name in ("norm_q", "norm_attn_out", "norm_mlp_out", "share"):
        np.testing.assert_allclose(got[name], wanted[name].sel(layer=list(layers)), rtol=1e-12)
    follows = [depth for depth in depths if depth - 1 in depths]
    np.testing.assert_allclose(
        got["step"].sel(depth=follows), wanted["step"].sel(depth=follows), rtol=1e-12
    )
    assert np.isnan(got["step"].drop_sel(depth=follows)).all()


def test_sums_and_correlations(run, part, layers):
    whole = run.dataset()
    wanted, got = (reconstruction(dataset, Precision()).compute() for dataset in (whole, part))
    assert got["layer"].values.tolist() == list(layers)
    for name in ("max_abs_error", "relative_error", "correlation", "rounding", "error_token"):
        np.testing.assert_allclose(got[name], wanted[name].sel(layer=list(layers)), rtol=1e-12)
    wanted, got = (
        laminar_correlation(dataset["resid"], Mask()).compute() for dataset in (whole, part)
    )
    depths = {*layers, *(layer + 1 for layer in layers)}
    pairs = [depth for depth in sorted(depths) if depth + 1 in depths]
    assert got["pair"].values.tolist() == pairs
    np.testing.assert_allclose(
        got["laminar_correlation"], wanted["laminar_correlation"].sel(pair=pairs), rtol=1e-12
    )


def test_outliers_name_depths_of_the_model(part, layers):
    found = outliers(part["resid"], 3).compute()
    depths = {*layers, *(layer + 1 for layer in layers)}
    assert set(found["outlier_depth"].values.ravel().tolist()) <= depths
    for place in np.ndindex(found["outlier_value"].shape):
        at = {
            name: int(found[f"outlier_{name}"].values[place])
            for name in ("depth", "token", "dimension")
        }
        value = part["resid"].sel(depth=at["depth"]).values[at["token"], at["dimension"]]
        assert value == np.float32(found["outlier_value"].values[place])
