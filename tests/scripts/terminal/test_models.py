"""The list of families, and of the sites of one."""

import json

from actlas.pipeline.models.registry import FAMILIES


def test_every_family_is_listed_with_its_law(actlas):
    done = actlas("models")
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    for name, family in FAMILIES.items():
        assert f" {family.law} " in lines[name]


def test_sites_of_a_family(actlas):
    found = json.loads(actlas("models", "olmo2", "--json").stdout)
    edits = {site["site"]: site["edit"] for site in found["sites"]}
    assert (edits["q"], edits["q_normed"], edits["q_rot"]) == ("whole site only", "yes", "no")
    assert edits["resid_mid"] == "through attn_out"
    shown = actlas("models", "bert").stdout
    assert "final_norm" not in shown and "nll" not in shown and "no next-token loss" in shown


def test_an_unknown_type_is_one_line(actlas):
    done = actlas("models", "lam")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean llama?" in done.stderr
