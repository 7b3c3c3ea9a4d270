"""Families from the command line: extraction, studies, variants, what they cannot have."""

import json

import pytest

from tests import commands
from tests.families.tiny import save_tiny

SENTENCES = "Mary lost her key in the garden.\nTom gave her a coat and saw her walk.\nWe saw her.\n"
CAUSAL = ("gpt_neox", "gptj", "gpt_neo", "llama", "qwen3", "phi3", "gemma2", "gemma3")
MASKED = ("bert", "roberta")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            (root / "sentences.txt").write_text(SENTENCES)
            save_tiny(root / "model", name)
            made[name] = root
        return made[name]

    return of


def run(root, *words, code=0):
    done = commands.run(root, *words)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_extract_and_studies(folder, name):
    root = folder(name)
    extract = ("extract", "sentences.txt", "--model", "model", "--store", "store", "--name", "it")
    run(root, *extract)
    record = json.loads(run(root, "show", "it", "--store", "store", "--json").stdout)
    assert ("nll" in str(record)) == (name in CAUSAL)
    of = ("--store", "store", "--out", "results")
    run(root, "variance", "it", *of, "--target", "her", "--bootstrap", "9")
    run(root, "cosine", "it", *of, "--target", "her", "--layers", "1")
    run(root, "norms", "it", *of)
    if name in CAUSAL:
        said = run(root, "reconstruct", "it", *of).stdout
        assert "holds to the rounding of float32 at every layer" in said
    else:
        refused = run(root, "reconstruct", "it", *of, code=2).stderr
        assert len(refused.splitlines()) == 1
        assert "--depths-only" in refused


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "gpt_neox", "bert"])
def test_a_sweep_and_its_impact(folder, name):
    root = folder(name)
    run(
        *(root, "sweep", "sentences.txt", "--model", "model", "--store", "variants"),
        *("--edit", "skip:layer=*", "--edit", "zero:site=v,layer=1,head=0"),
    )
    listed = json.loads(run(root, "ls", "--store", "variants", "--json").stdout)
    assert len(listed["runs"]) == 5
    run(root, "downstream", "sentences-model.*", "--store", "variants", "--out", "results")
    assert "ok" in run(root, "verify", "--store", "variants").stdout


@pytest.mark.parametrize(
    ("name", "site", "message"),
    [
        (
            "gpt_neox",
            "resid_mid",
            "gpt_neox has no site resid_mid: attention and MLP read the same",
        ),
        ("bert", "nll", "bert has no site nll: it sees both sides of a token"),
        ("gpt_neo", "mlp_up", "gpt_neo has no site mlp_up: its MLP has no gate; expected one of "),
    ],
)
def test_a_site_that_a_family_lacks_is_one_line(folder, name, site, message):
    root = folder(name)
    done = run(
        *(root, "extract", "sentences.txt", "--model", "model", "--store", "none"),
        *("--site", site),
        code=2,
    )
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (root / "none").exists()
