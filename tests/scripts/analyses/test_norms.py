"""``actlas norms`` on a real store.

Files, tables, groups, outliers, and what cannot be measured.
"""

import json

import numpy as np
import pytest
import xarray as xr

from tests.answers import answer, endings


@pytest.mark.slow
def test_norms_writes_result_figures_and_table(actlas, store, tmp_path):
    done = actlas(
        "norms", "it", "--store", "store", "--out", "out", "--target", "her", "--outliers", "2"
    )
    assert done.returncode == 0, done.stderr
    figures = {f"{kind}.{form}" for kind in ("", "_sites", "_groups") for form in ("png", "svg")}
    assert endings(tmp_path / "out", "norms") == {".nc", *figures}
    run = store.run("it")
    resid, position = run.dataset(["resid"])["resid"].values, run.labels.token["position"]
    with xr.open_dataset(answer(tmp_path / "out", "norms"), engine="h5netcdf") as result:
        assert result.attrs["runs"] == run.id
        step = float(result["step"].sel(group="later tokens", depth=2))
        np.testing.assert_allclose(
            step, np.linalg.norm((resid[2] - resid[1])[position > 0]), rtol=1e-5
        )
        per_token = step / np.sqrt((position > 0).sum())  # which people read
        assert f"{per_token:.4g}" in done.stdout
        for part, members in (("first token", position == 0), ("later tokens", position > 0)):
            largest = result.sel(part=part).isel(rank=0)
            assert abs(float(largest["outlier_value"])) == np.abs(resid[:, members]).max()
            assert repr(run.labels.token_text(int(largest["outlier_token"]))) in done.stdout


@pytest.mark.slow
def test_json_and_chosen_sites(actlas, store, tmp_path):
    record = json.loads(actlas("norms", "it", "--store", "store", "--json").stdout)
    assert record["run"] == store.run("it").id
    assert record["tokens"]["first token"] == 5
    assert record["step"]["later tokens"][0] is None
    assert set(record["share"]["first token"]) == {"attention", "MLP"}
    chosen = actlas(
        "norms",
        "it",
        "--store",
        "store",
        "--site",
        "q",
        "--site",
        "final_norm",
        "--out",
        "chosen",
        "--pdf",
    )
    assert "mean over layers and heads" in chosen.stdout
    forms = {f"_sites.{form}" for form in ("png", "svg", "pdf")}
    assert endings(tmp_path / "chosen", "norms") == {".nc", *forms}
    assert "and the same as .svg and .pdf" in chosen.stdout
    alone = actlas(
        "norms",
        "it",
        "--store",
        "store",
        "--site",
        "final_norm",
        "--out",
        "alone",
        "--target",
        "her",
    )
    assert alone.returncode == 0, alone.stderr
    assert endings(tmp_path / "alone", "norms") == {".nc"}


@pytest.mark.slow
def test_groups_by_a_column(actlas, small_model, tmp_path):
    rows = ("We saw her.,x", "Mary lost her key.,y", "Nobody knew her name.,x", "It was hers.,y")
    (tmp_path / "rows.csv").write_text("text,kind\n" + "\n".join(rows) + "\n")
    extracted = actlas(
        "extract",
        "rows.csv",
        "--model",
        small_model,
        "--store",
        "store",
        "--name",
        "rows",
        "--site",
        "resid",
    )
    assert extracted.returncode == 0, extracted.stderr
    by = actlas("norms", "rows", "--store", "store", "--by", "kind", "--json")
    assert set(json.loads(by.stdout)["tokens"]) == {
        "first token",
        "later tokens",
        "kind=x",
        "kind=y",
    }
    unknown = actlas("norms", "rows", "--store", "store", "--by", "sort")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "Error: unknown label column 'sort': known: kind\n",
    )


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--by", "kind"], 2, "unknown label column 'kind': there is none yet"),
        (["--site", "mlp_pre"], 2, "`actlas extract … --site mlp_pre` adds it"),
        (["--site", "nll"], 2, "unknown site of vectors 'nll': known: attn_out"),
        (["--site", "q", "--outliers", "3"], 2, "--outliers are of the residual stream"),
        (["--outliers", "-1"], 2, "--outliers"),
        (["--target", "him"], 1, "the word 'him' occurs in none"),
    ],
)
def test_what_cannot_be_measured_is_one_line(actlas, tmp_path, options, code, message):
    done = actlas("norms", "it", "--store", "store", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "actlas-results").exists()
