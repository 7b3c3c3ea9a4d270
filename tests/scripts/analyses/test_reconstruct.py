"""``actlas reconstruct`` on a real store.

The verdict, a planted corruption, edited blocks, bad input.
"""

import json

import numpy as np
import pytest
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.reconstruction.declaration import ReconstructOptions
from actlas.pipeline.edits.spec import edit_record, parse_edit
from actlas.scripts.analyses.asked import Asked
from actlas.scripts.results.output import Destination
from tests.answers import answer, endings
from tests.store.making import DIMS, Content, make_run


@pytest.mark.slow
def test_it_holds_and_writes_result_figures_and_table(actlas, store, tmp_path):
    done = actlas(
        "reconstruct",
        "it",
        "--store",
        "store",
        "--out",
        "out",
        "--pair",
        "1,2",
        "--first-token",
        "leave",
    )
    assert done.returncode == 0, done.stderr
    assert "holds to the rounding of float32 at every layer: relative error at most" in said(done)
    figures = {f"{kind}.{form}" for kind in ("", "_pair") for form in ("png", "svg")}
    assert endings(tmp_path / "out", "reconstruct") == {".nc", *figures}
    with xr.open_dataset(answer(tmp_path / "out", "reconstruct"), engine="h5netcdf") as result:
        assert result.attrs["runs"] == store.run("it").id
        options = {"first_token": "leave", "pair": 1, "quantile": 0.99, "threshold": None}
        made_of = {"sites": ["resid", "attn_out", "mlp_out"], "checked": True, "edited": []}
        numbers = {"resid": "0-3", "attn_out": "0-2", "mlp_out": "0-2"}
        made_of |= {"law": "add", "causal": True, "numbers": numbers}
        recorded = json.loads(result.attrs["options"])
        assert {name: recorded[name] for name in {**options, **made_of}} == {**options, **made_of}
        assert float(result["relative_error"].max()) < 1e-5
        assert f"{float(result['laminar_correlation'].sel(pair=1)):.4f}" in done.stdout
    record = json.loads(
        actlas("reconstruct", "it", "--store", "store", "--unchecked", "--json").stdout
    )
    assert record["holds"]
    assert (len(record["relative_error"]["layer"]), len(record["laminar_correlation"])) == (3, 3)


@pytest.mark.slow
def test_a_planted_corruption_is_found_by_verify_and_located_here(actlas, store):
    run = store.run("it")
    token = run.units[0].tokens + 3  # the fourth token of the second unit
    commit = next(
        commit for commit in run.commits if commit.unit.number == 1 and "attn_out" in commit.sites
    )
    site, layer, dimension = commit.sites["attn_out"], 2, 17
    path = run.path(commit)
    place = (
        site.offset + layer * site.layout.block_bytes + 3 * site.layout.row_bytes + 4 * dimension
    )
    content = bytearray(path.read_bytes())
    value = np.frombuffer(content, "<f4", 1, place)[0]
    content[place : place + 4] = np.float32(value + 0.01).tobytes()
    path.chmod(0o644)
    path.write_bytes(content)
    verified = actlas("verify", "it", "--store", "store")
    assert (verified.returncode, "attn_out[layer 2] was altered" in verified.stderr) == (1, True)
    refused = actlas("reconstruct", "it", "--store", "store")
    assert (refused.returncode, f"{path.name}: attn_out[2] was altered" in refused.stderr) == (
        1,
        True,
    )
    done = actlas("reconstruct", "it", "--store", "store", "--unchecked")
    assert done.returncode == 1
    labels = run.labels
    where = (
        f"worst at layer 2, sentence {labels.token['sentence'][token]}, token "
        f"{labels.token_text(token)!r} "
        f"(position {labels.token['position'][token]}), dimension 17"
    )
    assert "DOES NOT HOLD at 1 of 3 layers" in said(done)
    assert where in said(done)
    assert not json.loads(
        actlas("reconstruct", "it", "--store", "store", "--unchecked", "--json").stdout
    )["holds"]


def said(done):
    """Return what a command said, on one line."""
    return " ".join(done.stdout.split())


def judged(run, out):
    """Return what the study finds of a run."""
    return Asked(registry.find("reconstruct"), ReconstructOptions(), run).carry_out(
        Destination(out)
    )


def edited_run(path, edits):
    """A run of random numbers, no block of which is a sum, with ``edits``."""
    numerics = {"dtype": "float32", "stored_dtype": "float32", "mode": "eval"}
    sites = dict.fromkeys(("resid", "attn_out", "mlp_out"), "float32")

    class Written(Content):
        description = {"model": {"law": "add"}}  # noqa: RUF012

    return make_run(
        path,
        Written(dtypes=sites),
        "edited",
        numerics=numerics,
        edits=[edit_record(parse_edit(text)).to_json() for text in edits],
    )


def test_blocks_whose_output_was_edited_are_not_judged(tmp_path, monkeypatch):
    monkeypatch.setitem(DIMS, "mlp_out", DIMS["attn_out"])
    run = edited_run(tmp_path / "some", ["skip:layer=1", "zero:site=k,layer=0,head=1"])
    found = judged(run, tmp_path / "out")
    assert (found.holds, found.result.attrs["edited"]) == (False, [1])
    assert "DOES NOT HOLD at 2 of 3 layers" in found.findings[0]
    assert "(output edited, not judged: layer 1)" in found.findings[0]
    run = edited_run(tmp_path / "all", [f"scale:layer={block},factor=2" for block in range(3)])
    found = judged(run, tmp_path / "out")
    assert found.findings[-1].startswith("not judged: the output of every layer was edited")
    assert found.holds


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pair", "0,2"], "0 and 2 are not consecutive: expected such as 0,1"),
        (["--pair", "2,1"], "2 and 1 are not consecutive"),
        (["--pair", "3,4"], "depth 4 is not within 0-3, the depths of this run"),
        (["--pair", "1"], "'1' is not a pair of depths"),
        (["--quantile", "0"], "--quantile is 0, expected above 0 and at most 1"),
        (["--quantile", "1.2"], "--quantile is 1.2"),
        (["--threshold", "-1"], "--threshold is -1, expected above 0"),
        (["--quantile", "0.5", "--threshold", "2"], "both of --quantile and --threshold"),
    ],
)
def test_bad_input_is_one_line(actlas, tmp_path, options, message):
    done = actlas("reconstruct", "it", "--store", "store", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "actlas-results").exists()


def test_missing_sites_say_which_command_adds_them(actlas, small_model, sentence_file):
    actlas(
        "extract",
        sentence_file,
        "--model",
        small_model,
        "--store",
        "store",
        "--name",
        "it",
        "--site",
        "resid",
    )
    done = actlas("reconstruct", "it", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "(`actlas extract … --site attn_out` adds it)" in done.stderr
