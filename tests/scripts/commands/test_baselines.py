"""A baseline that is damaged, repaired, made again with other last bits, or removed.

Its variants never stay behind it.
"""

import re
import shlex

import numpy as np
import pytest

from actlas.store import Store
from tests import disk
from tests.store.making import flip

EDITS = ("skip:layer=1", "scale:layer=2,factor=0.5")
#: a processor, or a number of threads, that rounds otherwise
OTHERWISE = """
from actlas.pipeline.extraction import forward
narrowed = forward.narrowed
forward.narrowed = lambda value, dtype, place: narrowed(value, dtype, place) * (1 + 2**-20)
"""


@pytest.fixture(params=[False, True], ids=["single", "packed"])
def store(request, tmp_path, small_model, sentence_file, actlas) -> Store:
    """A baseline "base" of three units, and two variants."""
    for name, edit in (("base", ()), ("one", ("--edit", EDITS[0])), ("two", ("--edit", EDITS[1]))):
        common = (
            "--model",
            small_model,
            "--store",
            tmp_path / "store",
            "--unit-tokens",
            "40",
            "--quiet",
        )
        done = actlas("extract", sentence_file, *common, "--name", name, *edit)
        assert done.returncode == 0, done.stderr
        if request.param:
            assert actlas("pack", name, "--store", tmp_path / "store").returncode == 0
    assert len(Store(tmp_path / "store").run("base").units) > 2
    return Store(tmp_path / "store")


def damage(store):
    """Flip a bit of a block that both variants share, of unit 1."""
    run = store.run("base")
    commit = run.commits[1]
    flip(run.path(commit), commit.sites["resid"].place(0))


def commands_in(output):
    """Return the commands that ``verify`` shows, in order."""
    return [
        shlex.split(line) for line in re.findall(r"^  (actlas extract .*)$", output, re.MULTILINE)
    ]


def is_valid(store, actlas):
    done = actlas("verify", "--store", store.path)
    return done.returncode == 0 and done.stderr == "" and "not stored" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("asked", [(), ("base",)], ids=["all", "baseline"])
def test_what_repair_tells_makes_all_whole_also_with_other_last_bits(
    asked, store, sentence_file, actlas
):
    before = store.run("one").dataset(["resid"]).load()
    damage(store)
    done = actlas("verify", *asked, "--repair", "--store", store.path)
    assert done.returncode == 0, done
    assert {name for name in ("base", "one", "two") if f"of {name}: " in done.stdout} == {
        "base",
        "one",
        "two",
    }
    commands = commands_in(done.stdout)
    assert [("--edit" in words) for words in commands] == [False, True, True]
    for words in commands:
        arguments = [sentence_file if word == "SENTENCES" else word for word in words[1:]]
        again = disk.actlas(None, "", *arguments, "--quiet", before=OTHERWISE)
        assert again.returncode == 0, again.stderr
    assert is_valid(store, actlas)
    after = store.run("one").dataset(["resid"]).load()
    assert not after.identical(before)
    np.testing.assert_allclose(after["resid"], before["resid"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_variant_says_what_to_do_about_its_baseline_and_is_not_stranded(
    store, sentence_file, actlas
):
    damage(store)
    done = actlas("verify", "one", "--repair", "--store", store.path)
    base = store.run("base").id
    assert (done.returncode, done.stdout.count("dropped")) == (1, 0)
    assert f"`actlas verify {base} --repair`" in done.stderr
    assert actlas("verify", base, "--repair", "--store", store.path).returncode == 0
    assert [len(store.run(name).missing(["resid"])) for name in ("base", "one", "two")] == [1, 1, 1]


@pytest.mark.slow
def test_a_baseline_that_was_made_again_with_other_bits_is_reported_and_its_variants_repaired(
    store, sentence_file, actlas
):
    """As where its unit was lost with its commit, or a copy of the store was finished elsewhere."""
    model = store.run("base").description["model"]["name"]
    assert actlas("rm", "base", "--force", "--yes", "--store", store.path).returncode == 0
    common = (
        "extract",
        sentence_file,
        "--model",
        model,
        "--store",
        store.path,
        "--unit-tokens",
        "40",
        "--quiet",
    )
    assert disk.actlas(None, "", *common, "--name", "base", before=OTHERWISE).returncode == 0
    again = actlas(*common, "--edit", EDITS[0])
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    assert "was made with other values" in again.stderr
    assert "`actlas verify one --repair`, then this command again" in again.stderr
    done = actlas("verify", "--repair", "--store", store.path)
    assert done.returncode == 0, done
    for words in commands_in(done.stdout):
        assert (
            actlas(
                *[sentence_file if word == "SENTENCES" else word for word in words[1:]], "--quiet"
            ).returncode
            == 0
        )
    assert is_valid(store, actlas)


@pytest.mark.slow
def test_a_removed_baseline_is_made_again_by_the_command_of_its_variant(
    store, sentence_file, actlas, tmp_path
):
    assert actlas("export", "one", tmp_path / "one.h5", "--store", store.path).returncode == 0
    model = store.run("base").description["model"]["name"]
    done = actlas("rm", "base", "--force", "--yes", "--store", store.path)
    assert done.returncode == 0
    assert "one, two are its variants and need it" in done.stderr
    assert actlas("verify", tmp_path / "one.h5").returncode == 0  # an export has all its blocks
    common = ("--model", model, "--store", store.path, "--unit-tokens", "40", "--quiet")
    done = actlas("extract", sentence_file, *common, "--edit", EDITS[0])
    assert done.returncode == 0, done
    assert is_valid(store, actlas)
