"""``actlas export``, and every command that takes its file in place of a run."""

import json
import sys

import numpy as np
import pytest
import xarray as xr

from actlas.store import Store
from actlas.store.runs.exported import Exported
from tests.answers import answer, endings, loaded
from tests.store.making import flip


def test_export_and_verify(actlas, store, tmp_path):
    done = actlas("export", "it", "her.h5", "--store", "store")
    assert (done.returncode, done.stderr) == (0, "")
    run = store.run("it")
    assert (
        f"of run it, all layers, all tokens\n5 sentences, {run.tokens} tokens, sites "
        f"{' '.join(run.sites)}" in done.stdout
    )
    assert "which was there already" in actlas("export", "it", "her.h5", "--store", "store").stdout
    (tmp_path / "store").rename(tmp_path / "away")  # from here on the file is alone
    assert actlas("verify", "her.h5").stdout.endswith("ok\n")
    assert (
        json.loads(actlas("show", "./her.h5", "--json").stdout)["specification"]
        == run.specification
    )
    assert "5 sentences" in actlas("show", "her.h5").stdout.replace("sentences  5", "5 sentences")
    record = json.loads(
        actlas("export", "her.h5", "q.nc", "--site", "q", "--dtype", "float16", "--json").stdout
    )
    assert (record["run"], record["sites"], record["dtype"], record["new"]) == (
        run.id,
        ["q"],
        "float16",
        True,
    )
    flip(tmp_path / "her.h5", Exported(tmp_path / "her.h5").commits[0].sites["q"].place(1))
    done = actlas("verify", "her.h5")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "export it again" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["variance", "cosine"])
def test_studies_of_an_export_are_those_of_the_run(actlas, store, tmp_path, command):
    options = [
        "--site",
        "q",
        "--site",
        "k",
        "--site",
        "v",
        "--layers",
        "0,2",
        "--target",
        "her",
        "--context",
        1,
    ]
    assert actlas("export", "it", "her.h5", "--store", "store", *options).returncode == 0
    whole = actlas(command, "it", "--store", "store", "--target", "her", "--out", "whole")
    part = actlas(command, "her.h5", "--target", "her", "--out", "part")
    assert part.returncode == whole.returncode == 0, part.stderr
    got, wanted = (
        loaded(tmp_path / "part", command),
        loaded(tmp_path / "whole", command).sel(layer=[0, 2]),
    )
    assert got["layer"].values.tolist() == [0, 2]
    labels = [name for name in wanted if "pair_" in name]
    xr.testing.assert_allclose(got.drop_vars(labels), wanted.drop_vars(labels), rtol=1e-6)
    assert got.attrs["runs"] == store.run("it").id
    assert json.loads(got.attrs["options"])["export"]["tokens"] == {
        "target": "her",
        "case": False,
        "context": 1,
    }
    assert endings(tmp_path / "part", command) == endings(tmp_path / "whole", command)
    assert answer(tmp_path / "part", command).name != answer(tmp_path / "whole", command).name
    assert "\n2  " in part.stdout or "   2 " in part.stdout  # layers by their numbers in the model


@pytest.mark.slow
def test_cosine_chooses_layers_by_their_numbers(actlas, store, tmp_path):
    actlas("export", "it", "her.h5", "--store", "store", "--layers", "1-2")
    assert (
        actlas("cosine", "her.h5", "--target", "her", "--layers", "2", "--out", "out").returncode
        == 0
    )
    assert loaded(tmp_path / "out", "cosine")["layer"].values.tolist() == [2]
    done = actlas("cosine", "her.h5", "--target", "her", "--layers", "0")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "0 is not within 1-2" in done.stderr


def test_only_the_word_and_what_is_around_it(actlas, store, tmp_path):
    done = actlas("export", "it", "her.h5", "--store", "store", "--target", "HER", "--context", 2)
    assert done.returncode == 0, done.stderr
    part, whole = Exported(tmp_path / "her.h5").dataset(), store.run("it").dataset()
    for number in range(int(part["sentence"].max()) + 1):
        positions = part["position"].values[part["sentence"].values == number]
        assert len(positions) <= 5
        assert (np.diff(positions) == 1).all()
    sentence = part["sentence_in_run"].values
    at = np.searchsorted(
        whole["sentence"] * 1000 + whole["position"], sentence * 1000 + part["position"]
    )
    np.testing.assert_array_equal(part["resid"], whole["resid"].isel(token=at))
    lost = actlas("variance", "her.h5", "--target", "the")
    assert (lost.returncode, len(lost.stderr.splitlines())) == (1, 1)
    assert "as in an export for another word: use the whole run" in lost.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["it"], 2, "Missing argument 'OUT'"),
        (["its", "her.h5"], 2, "unknown run 'its'"),
        (["it", "her.txt"], 2, "does not end in .h5 or .nc"),
        (["it", "none/her.h5"], 2, "none is not a directory"),
        (["it", "her.h5", "--site", "mlp"], 2, "unknown site 'mlp': did you mean"),
        (["it", "her.h5", "--layers", "3"], 2, "3 is not within 0-2"),
        (["it", "her.h5", "--context", "3"], 2, "give --target WORD too"),
        (
            ["it", "her.h5", "--target", "him"],
            1,
            "the word 'him' occurs in none of the 5 sentences",
        ),
        (["it", "her.h5", "--dtype", "int8"], 2, "'int8' is not one of"),
        (["it", "out", "--format", "npz"], 2, "'npz' is not one of 'netcdf', 'safetensors'"),
        (["it", "out", "--format", "saelens"], 2, "--context-size N go together"),
        (["it", "out", "--format", "hf", "--context-size", "3"], 2, "--context-size N go together"),
        (
            ["it", "out", "--format", "saelens", "--context-size", "3", "--site", "q"],
            2,
            "takes one site at one layer",
        ),
        (["it", "none/out", "--format", "safetensors"], 2, "none is not a directory"),
        (["it", "her.txt", "--format", "zarr", "--layers", "9"], 2, "9 is not within 0-2"),
        (["none.h5", "her.h5"], 2, "unknown run 'none.h5'"),
        (["./none.h5", "her.h5"], 2, "none.h5 is not there: give a file that `actlas export` made"),
        (["text.h5", "her.h5"], 2, "text.h5 is not an HDF5 file"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_usage_is_one_line_and_leaves_nothing(actlas, tmp_path, arguments, code, message):
    (tmp_path / "text.h5").write_text("thesis")
    before = sorted(tmp_path.rglob("*"))
    done = actlas("export", *arguments, ACTLAS_STORE="store")
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_copies_for_other_libraries(actlas, store, tmp_path):
    chosen = ["--site", "attn_out", "--layers", "1", "--store", "store"]
    done = actlas("export", "it", "rows", "--format", "safetensors", *chosen, "--target", "her")
    assert (done.returncode, done.stderr) == (0, "")
    assert "of run it, layers 1, 'her' in its sentence, as safetensors" in done.stdout
    assert (tmp_path / "rows" / "attn_out.1.safetensors").is_file()
    again = actlas("export", "it", "rows", "--format", "safetensors", *chosen)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    assert "rows is there already" in again.stderr


def test_a_copy_for_saelens(actlas, store, tmp_path):
    datasets = pytest.importorskip("datasets")
    words = ["--format", "saelens", "--context-size", "5", "--store", "store", "--json"]
    for site, name in (("hook_mlp_out", "hook_mlp_out"), ("resid", "hook_resid_post")):
        done = actlas("export", "it", site, "--site", site, "--layers", "1", *words)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        found = datasets.load_from_disk(str(tmp_path / site))
        assert found.column_names == [f"blocks.1.{name}", "token_ids"]
        assert record["tokens"] == 5 * len(found)
        assert record["tokens"] + record["left_out"] == store.run("it").tokens
    words[3] = "5000"
    done = actlas("export", "it", "long", "--site", "resid", "--layers", "1", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no sentence has 5000 tokens" in done.stderr
    assert not (tmp_path / "long").exists()


@pytest.mark.parametrize(
    ("kind", "library"), [("hf", "datasets"), ("parquet", "pyarrow"), ("zarr", "zarr")]
)
def test_a_library_that_is_not_there_is_named(store, tmp_path, monkeypatch, kind, library):
    from click.testing import CliRunner

    from actlas.scripts.commands.export import command

    monkeypatch.setitem(sys.modules, library, None)
    words = ["it", str(tmp_path / "out"), "--format", kind, "--store", str(store.path)]
    done = CliRunner().invoke(command, words)
    assert str(done.exception).endswith(f'{library}: pip install "actlas[out]"')
    assert not (tmp_path / "out").exists()


def test_an_export_is_not_repaired_and_a_run_may_be_called_like_one(actlas, store):
    store.name(store.run("it"), "her.h5")
    assert actlas("show", "her.h5", "--store", "store").returncode == 0  # no such file: the run
    assert Store(store.path).run("her.h5").id == store.run("it").id
    actlas("export", "her.h5", "out.h5", "--store", "store", "--site", "nll")
    done = actlas("verify", "out.h5", "--repair")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be repaired: export it again" in done.stderr
