"""``ls``, ``show``, ``verify`` and ``variance`` on a real store."""

import json
from pathlib import Path

import pytest
import xarray as xr

from actlas.scripts.terminal.text import printable, table
from actlas.store import Store
from tests.answers import answer, endings


def test_ls_and_show(actlas, store):
    assert "it" in actlas("ls", "--store", "store").stdout
    listed = json.loads(actlas("ls", "--store", "store", "--json").stdout)["runs"][0]
    assert (listed["names"], Path(listed["model"]).name, listed["sentences"]) == (
        ["it"],
        "model",
        5,
    )
    run = store.run("it")
    shown = actlas("show", run.id[:6], "--store", "store").stdout
    assert "depth 4, token, d_model 35" in shown
    assert "5 sentences" in shown.replace("sentences  5", "5 sentences")
    assert (
        json.loads(actlas("show", "it", "--store", "store", "--json").stdout)["specification"]
        == run.specification
    )


def test_a_store_without_a_run_says_so(actlas, tmp_path):
    Store.create(tmp_path / "empty")
    for command in ("ls", "verify"):
        assert "holds no run yet" in actlas(command, "--store", "empty").stdout
    assert json.loads(actlas("verify", "--store", "empty", "--json").stdout) == {
        "runs": {},
        "problems": [],
    }


def test_store_comes_from_the_environment(actlas, store):
    assert (
        actlas("ls", ACTLAS_STORE=str(store.path)).stdout == actlas("ls", "--store", "store").stdout
    )


@pytest.mark.usefixtures("store")
def test_unknown_run_lists_the_names(actlas):
    done = actlas("show", "its", "--store", "store")
    assert (done.returncode, done.stderr) == (
        2,
        "Error: unknown run 'its': did you mean it? known: it\n",
    )


def test_verify_names_what_is_damaged(actlas, store):
    assert actlas("verify", "--store", "store").returncode == 0
    run = store.run("it")
    shard = run.path(run.commits[0])
    content = bytearray(shard.read_bytes())
    content[run.commits[0].sites["q"].offset + 5] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    done = actlas("verify", "it", "--store", "store")
    assert done.returncode == 1
    assert f"{shard.name}: q[layer 0] was altered" in done.stderr
    assert "1 DAMAGED" in done.stdout
    assert len(json.loads(actlas("verify", "--store", "store", "--json").stdout)["problems"]) == 1


@pytest.mark.slow
def test_variance_writes_result_figures_and_table(actlas, store, tmp_path):
    done = actlas("variance", "it", "--store", "store", "--target", "her", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert endings(tmp_path / "out", "variance") == {".nc", ".png", ".svg"}
    with xr.open_dataset(answer(tmp_path / "out", "variance"), engine="h5netcdf") as result:
        assert result.attrs["runs"] == store.run("it").id
        assert json.loads(result.attrs["options"])["target"] == "her"
        assert (
            f"{float(result['variance'].sel(group='target', projection='q', layer=0)):.4g}"
            in done.stdout
        )
    record = json.loads(
        actlas("variance", "it", "--store", "store", "--target", "her", "--json").stdout
    )
    assert record["variance"]["target"].keys() == {"q", "k", "v"}
    assert answer(tmp_path / "actlas-results" / "it", "variance").name.startswith("variance-her-")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ["--target", "him"],
            1,
            "the word 'him' occurs in none of the 5 sentences: near to it are home",
        ),
        (["--target", "Mary"], 1, "0 pairs of 'Mary'"),
        (["--target", ""], 2, "the target word is empty"),
        (["--target", "her", "--control", "next"], 2, "'next' is not one of"),
        (["--target", "her", "--out", "her.txt"], 2, "is a file"),
    ],
)
@pytest.mark.usefixtures("store", "sentence_file")
def test_variance_of_what_cannot_be_studied(actlas, tmp_path, options, code, message):
    done = actlas("variance", "it", "--store", "store", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "actlas-results").exists()


def test_a_file_in_the_way_is_one_line(actlas, small_model, sentence_file, tmp_path):
    (tmp_path / "file").write_text("")
    done = actlas("extract", sentence_file, "--model", small_model, "--store", "file/store")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "Not a directory" in done.stderr


def test_variance_without_its_sites_says_how_to_add_them(actlas, small_model, sentence_file):
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
        "q",
    )
    done = actlas("variance", "it", "--store", "store", "--target", "her")
    assert done.returncode != 0
    assert "--site k" in done.stderr


def test_what_a_store_says_cannot_steer_a_terminal():
    assert printable("Zürich 日本") == "Zürich 日本"
    assert printable("a\x1b[2J\nb\udc80\u202e") == "a�[2J�b��"
    assert "\x1b" not in table(("name",), [("\x1b[31mred",)])


def test_descriptions_that_say_nothing_are_listed_all_the_same(actlas, tmp_path):
    Store.create(tmp_path / "store").add({"seed": 0}, {"model": "\x1b[2J"}, ())
    done = actlas("ls", "--store", "store")
    assert (done.returncode, done.stderr) == (0, "")
    assert "unknown" in done.stdout
    done = actlas("show", done.stdout.split()[8], "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    assert "run.json does not describe its run ('numerics')" in done.stderr
