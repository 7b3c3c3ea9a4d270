"""A part of ``scripts/bench/damage.py``, and proof that it would find what is read silently."""

import subprocess
import sys

import pytest

from actlas.scripts.bench.injection.damage_trials import silent, unexplained
from actlas.scripts.bench.injection.damages import DAMAGES, SITES_OF_DAMAGE, damage, found
from actlas.scripts.bench.injection.readers import Seen

UNDAMAGED = {"reader": Seen(0, "", {"q": "1"})}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SITES_OF_DAMAGE)
def test_no_damage_is_read_silently(kind, tmp_path):
    command = [
        sys.executable,
        "-m",
        "actlas.scripts.bench.damage",
        "--trials",
        "8",
        "--jobs",
        "1",
        "--kind",
        kind,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen(0, "", {"q": "2"}), ["reader read q silently"]),
        (Seen(0, "", {"q": "1", "k": "1"}), ["reader read k silently"]),
        (Seen(0, "", {}), []),
        (Seen(0, "note: q was altered", {"q": "2"}), []),
        (Seen(1, "Error: q was altered", {}), []),
    ],
)
def test_another_number_without_a_word_is_found(seen, words):
    assert list(silent({"reader": seen}, UNDAMAGED)) == words


@pytest.mark.parametrize(
    ("seen", "count"),
    [
        (Seen(1, "Error: q was altered", {}), 0),
        (Seen(1, "", {}), 1),
        (Seen(1, "two\nlines", {}), 1),
        (Seen(70, "", {}, "Traceback …\nKeyError: 'q'"), 1),
        (Seen(1, "Traceback (most recent call last)", {}), 1),
    ],
)
def test_a_failure_without_a_line_is_found(seen, count):
    assert len(list(unexplained({"reader": seen}, UNDAMAGED))) == count


@pytest.mark.parametrize("kind", SITES_OF_DAMAGE)
def test_the_same_seed_does_the_same_damage(kind, tmp_path):
    def contents(root):
        return {
            path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }

    def make(root):
        for number, pattern in enumerate(
            pattern for patterns in SITES_OF_DAMAGE[kind] for pattern in patterns
        ):
            for copy in "ab":
                path = root / pattern.replace("*", f"{copy}{number}", 1).replace("*", copy)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{kind}{number}{copy}".encode() * 100)
        return root

    done = set()
    for number in range(40):
        first, second = make(tmp_path / f"first-{number}"), make(tmp_path / f"second-{number}")
        before = contents(first)
        done_here = damage(first, kind, f"0/{number}")
        assert done_here == damage(second, kind, f"0/{number}")
        assert contents(first) == contents(second)
        changed = {str(path) for path in before if contents(first).get(path) != before[path]}
        assert changed <= set(done_here.files)
        done.add(done_here.words.split(":")[0])
    assert len(done) >= len(DAMAGES) - 2
    assert found(tmp_path, ("nowhere/*",)) == []
