"""``readout``, ``lens``, ``attribute`` as users meet them, on the demo model, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actlas.analysis.results.files import read_result
from actlas.store import Store
from tests import commands
from tests.store.making import flip

ROOT = Path(__file__).parents[3]
OF = ("english", "--store", "store", "--out", "results")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("english")
    text = ROOT / "pipeline/texts/english.txt"
    made = run(root, "extract", text, "--store", "store", "--name", "english", "--quiet")
    assert made.returncode == 0, made.stderr
    return root


def run(root, *words):
    return commands.run(root, *words)


def without_torch(root, *words):
    """Run a command where nothing that runs a model can be imported; return its output."""
    names = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub")
    code = f"import sys; sys.modules.update(dict.fromkeys({names!r}))\n"
    code += f"from actlas.scripts.cli import main; main({list(map(str, words))!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_finds_its_circuit_without_torch(folder):
    """Head 3 of layer 2 writes the answer: found from what was stored, its queries and keys."""
    made = json.loads(
        run(folder, "readout", "demo", "--store", "store", "--heads", "--json").stdout
    )
    assert [file["new"] for file in made["files"]] == [False, True]
    words = ("--answer", "her", "--against", "him", "--heads", "--json")
    record = json.loads(without_torch(folder, "attribute", *OF, *words))
    assert record["holds"]
    assert record["findings"][0].startswith("MLP of layer 7 writes most of")
    assert "+8.62 on average" in record["findings"][1]
    assert "at 83 tokens of 75 sentences" in record["findings"][1]
    result = read_result(folder / next(f for f in record["files"] if f.endswith(".nc")))
    means = result["mean_head"].isel(group=0).transpose("layer", "head")
    ranked = abs(means).values.ravel().argsort()[::-1]
    assert divmod(int(ranked[0]), 6) == (2, 3)
    assert means.values[2, 3] == pytest.approx(1.98, rel=0.1)
    assert abs(means.values.ravel()[ranked[1]]) == pytest.approx(0.19, rel=0.1)
    assert float(
        result["mean_attribution"].isel(group=0).sel(part="MLP", layer=7)
    ) == pytest.approx(3.17, rel=0.1)


@pytest.mark.slow
def test_lens_without_torch(folder):
    record = json.loads(without_torch(folder, "lens", *OF, "--answer", "her", "--json"))
    assert record["holds"]
    assert record["findings"][0].startswith("from depth 4 of 8 on, the model's first choice")
    mean = "mean loss of 1,665 tokens from 16.7 nats at depth 0 to 1.34 at depth 8"
    assert mean in record["findings"]
    assert "answer 'her' is the token ' her' (id 276)" in record["findings"]
    said = run(folder, "lens", *OF, "--first", "3").stdout
    assert "First choice after each token of sentence 0" in said
    assert "river" in said


@pytest.mark.slow
def test_a_variant_has_the_readout_of_its_model(folder):
    text = ROOT / "pipeline/texts/english.txt"
    options = ("--store", "store", "--quiet", "--edit", "skip:layer=2")
    assert run(folder, "extract", text, *options).returncode == 0
    of = ("english.skip-layer-2", *OF[1:])
    said = json.loads(run(folder, "lens", *of, "--json").stdout)
    assert said["holds"]
    done = json.loads(
        run(folder, "attribute", *of, "--answer", "her", "--against", "him", "--json").stdout
    )
    assert done["holds"]
    result = read_result(folder / next(f for f in done["files"] if f.endswith(".nc")))
    skipped = result["mean_attribution"].isel(group=0).sel(layer=2)
    assert abs(float(skipped.sel(part="edited layer"))) < 1e-9
    assert float(skipped.sel(part="attention")) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("attribute", *OF), 2, "give --answer WORD or --answer-column COLUMN"),
        (("attribute", *OF, "--answer", "unbelievable"), 2, "is not one token"),
        (("lens", *OF, "--answer", "qqq"), 2, "is not one token of the model's vocabulary"),
        (("attribute", *OF, "--answer-column", "kind"), 2, "unknown label column 'kind'"),
        (("readout", "nowhere-at-all/x/y", "--store", "store"), 2, "is not a directory"),
    ],
)
def test_bad_input_is_one_line(folder, words, code, message):
    done = run(folder, *words)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_without_a_readout_the_command_is_named(folder, tmp_path):
    text = ROOT / "pipeline/texts/english.txt"
    (tmp_path / "few.txt").write_text("\n".join(text.read_text().splitlines()[:3]) + "\n")
    options = ("--store", "store", "--name", "few", "--quiet", "--no-readout")
    assert run(tmp_path, "extract", "few.txt", *options).returncode == 0
    assert not (tmp_path / "store/readouts").exists()
    done = run(tmp_path, "lens", "few", "--store", "store")
    assert done.returncode == 2
    assert "`actlas readout demo --store" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert run(tmp_path, "readout", "demo", "--store", "store").returncode == 0
    damaged = next((tmp_path / "store/readouts").glob("*.h5"))
    flip(damaged, damaged.stat().st_size // 2)
    refused = run(tmp_path, "lens", "few", "--store", "store")
    assert refused.returncode == 1
    assert "was altered" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "1 DAMAGED" in run(tmp_path, "verify", "--store", "store").stdout
    assert run(tmp_path, "verify", "--repair", "--store", "store").returncode == 0
    assert run(tmp_path, "readout", "demo", "--store", "store").returncode == 0
    assert run(tmp_path, "lens", "few", "--store", "store").returncode == 0
    assert Store(tmp_path / "store").run("few").sites


@pytest.mark.slow
def test_three_looks_at_the_demos_head(folder):
    text = ROOT / "pipeline/texts/english.txt"
    edit = ("--edit", "zero:site=z,layer=2,head=2|3", "--site", "resid", "--site", "nll")
    done = run(folder, "sweep", text, "--store", "store", "--quiet", *edit)
    assert done.returncode == 0, done.stderr
    run(folder, "readout", "demo", "--store", "store", "--heads")
    said = run(folder, "triangulate", *OF, "--answer", "her", "--against", "him")
    assert said.returncode == 0, said.stderr
    assert "L2H3 adds most: +1.98" in said.stdout
    assert "L2H3 costs most: +5.15" in said.stdout
    assert "attribution and ablation name the same head" in said.stdout
    pages = run(folder, "heads", *OF, "--sentence", "3").stdout
    assert "_attention.html" in pages
    report = run(folder, "report", "results", "--store", "store")
    assert report.returncode == 0, report.stderr
    page = (folder / "results" / "report.html").read_text()
    assert "Do three looks at a head agree?" in page
    assert "What do heads attend to?" in page
    verified = run(folder, "verify", "results", "--store", "store")
    assert verified.returncode == 0, verified.stdout
