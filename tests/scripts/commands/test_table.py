"""``actlas table``: CSV and parquet of tokens and words."""

import io

import numpy as np
import pandas as pd
import pytest


def test_tokens_as_csv(actlas, store):
    run = store.run("it")
    done = actlas("table", "it", "--store", "store", "--norms")
    assert (done.returncode, done.stderr) == (0, "")
    frame = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values="NaN")
    assert len(frame) == run.tokens
    np.testing.assert_allclose(frame["nll"], run.dataset("nll")["nll"], rtol=1e-6)
    assert frame["nll"].isna().equals(frame["position"] == 0)
    assert [name for name in frame if name.startswith("norm.")] == [f"norm.{n}" for n in range(4)]


def test_words_to_a_file(actlas, store, tmp_path):
    words = ["table", "it", "--store", "store", "--per", "word", "--out", "words.csv"]
    done = actlas(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "words.csv: " in done.stdout
    frame = pd.read_csv(tmp_path / "words.csv")
    assert "her" in set(frame["characters"])
    tokens = pd.read_csv(io.StringIO(actlas("table", "it", "--store", "store").stdout))
    row = frame[(frame["characters"] == "her") & (frame["position"] > 0)].iloc[0]
    there = tokens[tokens["sentence"] == row["sentence"]].set_index("position")
    own = there.loc[row["position"] : row["position"] + row["tokens"] - 1, "nll"]
    assert row["surprisal"] == pytest.approx(own.sum(), rel=1e-6)
    again = actlas(*words)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    assert "words.csv is there already" in again.stderr


def test_parquet(actlas, store, tmp_path):
    pytest.importorskip("pyarrow")
    done = actlas("table", "it", "--store", "store", "--out", "it.parquet")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "it.parquet")
    assert len(frame) == store.run("it").tokens


def test_a_run_without_losses_says_so(actlas, store, tmp_path):
    actlas("export", "it", "q.h5", "--store", "store", "--site", "q")
    done = actlas("table", "q.h5", "--per", "word")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "has no nll" in done.stderr
    assert "surprisal" not in done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--per", "line"], 2, "'line' is not one of 'token', 'word'"),
        (["--out", "it.txt"], 2, "does not end in .csv or .parquet"),
        (["--out", "none/it.csv"], 2, "none is not a directory"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_usage_is_one_line(actlas, arguments, code, message):
    done = actlas("table", "it", "--store", "store", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert message in done.stderr
