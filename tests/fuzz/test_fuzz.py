"""What parses bytes from elsewhere keeps the law.

The kept inputs of ``corpus/``, and some that are changed at random.
"""

import random
import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.scripts.bench.fuzz import CORPUS, kept
from actlas.scripts.bench.inputs import targets as fuzzing
from actlas.scripts.bench.inputs.mutation import MOST, mutated
from actlas.scripts.bench.inputs.targets import TARGETS, Fuzzed, lawful, resealed

BUDGET = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def root(everything, tmp_path_factory):
    """One copy for all: a target puts back what it changed."""
    return shutil.copytree(everything, tmp_path_factory.mktemp("fuzz") / "root")


@pytest.fixture(params=TARGETS)
def place(request, root):
    """A target, skipped where this version has no such file."""
    fuzzed = Fuzzed(request.param, root)
    if not fuzzed.there:
        pytest.skip(f"this version writes no {fuzzed.target.file}")
    return fuzzed


def test_the_seed_is_accepted_by_every_command(place):
    assert place.violations(place.seed) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "name"),
    [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))],
    ids=lambda part: part,
)
def test_a_kept_input_is_answered_or_refused_in_a_line(target, name, root):
    fuzzed = Fuzzed(target, root)
    if not fuzzed.there:
        pytest.skip(f"this version writes no {fuzzed.target.file}")
    assert fuzzed.violations((CORPUS / target / name).read_bytes()) == []


@pytest.mark.slow
@BUDGET
@given(seed=st.integers(0, 2**32))
def test_a_changed_input_is_answered_or_refused_in_a_line(place, seed):
    generator = random.Random(seed)
    name = next(name for name, target in TARGETS.items() if target is place.target)
    inputs = [place.seed, *kept(name)]
    content = mutated(generator.choice(inputs), generator, generator.choice(inputs))
    assert place.violations(content) == []


@given(content=st.binary(max_size=300), seed=st.integers(0, 2**32))
def test_inputs_are_changed_the_same_way_by_the_same_seed(content, seed):
    first, second = (mutated(content, random.Random(seed), b"other") for _ in range(2))
    assert first == second
    assert len(first) <= MOST


def raising(error):
    raise error


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (lambda: (0, "", ""), None),
        (lambda: (2, "", "Error: one line"), None),
        (lambda: (1, "", ""), "status 1"),
        (lambda: (3, "", "Error: one line"), "status 3"),
        (lambda: (1, "", "two\nlines"), "not one short line"),
        (lambda: (1, "", "Error: " + "a" * 3000), "not one short line"),
        (lambda: raising(KeyError("a")), "KeyError in test_fuzz.py:raising"),
        (lambda: raising(BaseException("a panic")), "BaseException in test_fuzz.py:raising"),
    ],
)
def test_what_breaks_the_law_is_seen(work, kind):
    found = lawful("ls", work)
    assert (found.kind if found else None) == kind


def test_a_hang_is_seen(monkeypatch):
    monkeypatch.setattr(fuzzing, "SECONDS", 1)
    assert lawful("ls", lambda: time.sleep(5) or (0, "", "")).kind.startswith("Hang")


def test_a_record_is_sealed_as_the_format_says(everything):
    for path in everything.rglob("store.json"):
        content = path.read_bytes()
        assert resealed(content) == content
        assert resealed(content.replace(b'"version":1', b'"version":2')) != content
    assert resealed(b"nothing") == b"nothing"
