"""A later version of actlas may write what this one does not know.

It is refused in a line, and nothing of it is touched.
"""

import pytest

from actlas.scripts.bench.injection.operations import MODEL
from tests import commands
from tests.everything import newer, records

STORE = ("--store", "store")
IN_STORE = (
    ("show", "RUN", *STORE),
    ("verify", *STORE),
    ("verify", "--repair", *STORE),
    ("gc", *STORE),
    ("pack", "RUN", *STORE),
    ("export", "RUN", "new.h5", *STORE),
    (
        "extract",
        "SENTENCES",
        *STORE,
        *MODEL,
        "--site",
        "resid",
        "--site",
        "nll",
        "--site",
        "mlp_out",
    ),
)
ELSEWHERE = {
    "actlas-export": (
        ("verify", "it.h5"),
        ("show", "it.h5"),
        ("variance", "it.h5", "--target", "her"),
    ),
    "actlas-study": (("study", "run", "study.toml", "--out", "study"), ("report", "study", *STORE)),
    "actlas-result": (("report", "results", *STORE), ("verify", "results")),
    "actlas-weight": (
        ("verify", *STORE),
        ("verify", "--repair", *STORE),
        ("gc", *STORE),
        ("readout", "demo", *STORE),
        ("lens", "it", *STORE),
    ),
}
#: format → the file that is altered, and the run that its commands are about
FILES = {
    "actlas-store": ("store/store.json", "it"),
    "actlas-run": ("store/runs/{it}/run.json", "it"),
    "actlas-commit": ("store/runs/{it}/commits/*", "it"),
    "actlas-commit packed": ("store/runs/{packed}/packed/*", "packed"),
    "actlas-labels": ("store/runs/{packed}/labels/*", "packed"),
    "actlas-name": ("store/names/it", "it"),
    "actlas-export": ("it.h5", "it"),
    "actlas-study": ("study/study.json", "it"),
    "actlas-result": ("results/*.nc", "it"),
    "actlas-weight": ("store/readouts/*.h5", "it"),
}
GENERAL = ("gc", "verify")  # report each problem, and have other work


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def altered_file(root, kind):
    """Return a file with a record of a format, None where this version has none."""
    pattern, _ = FILES[kind]
    ids = {name: folder for name in ("it", "packed") for folder in [run_folder(root, name)]}
    found = [
        path
        for path in sorted(root.glob(pattern.format(**ids)))
        if any(r["format"] == kind.split()[0] for r in records(path))
    ]
    place = -1 if kind == "actlas-labels" else 0  # the newest labels: older ones are not read
    return found[place] if found else None


def run_folder(root, name):
    """Return the id of a run, however names are written."""
    content = (root / "store" / "names" / name).read_text()
    return next(path.name for path in (root / "store" / "runs").iterdir() if path.name in content)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_record_of_a_later_version_is_refused_and_left_alone(kind, copy_of_everything):
    root, (_, run) = copy_of_everything, FILES[kind]
    path = altered_file(root, kind)
    if path is None:
        pytest.skip(f"this version writes no {kind}")
    newer(path)
    before = contents(root)
    sentences = "it.txt" if run == "it" else "new.txt"
    for words in ELSEWHERE.get(kind, IN_STORE):
        done = commands.run(
            root, *(word.replace("RUN", run).replace("SENTENCES", sentences) for word in words)
        )
        said = f"{words}: {done.returncode}: {done.stdout[-300:]}{done.stderr[-600:]}"
        assert "Traceback" not in done.stderr, said
        after = contents(root)
        assert {place for place in before if after.get(place) != before[place]} == set(), said
        if done.returncode == 0 and (
            words[0] == "gc" or (words[0] in ("show", "pack") and kind == "actlas-labels")
        ):
            continue  # there is nothing to remove, or it reads no labels
        assert done.returncode in (1, 2), said
        assert "update actlas" in done.stderr, said
        assert words[0] in GENERAL or len(done.stderr.strip().splitlines()) == 1, said


@pytest.mark.slow
def test_every_record_that_is_written_is_among_those_tried(everything):
    written = {
        record["format"]
        for path in everything.rglob("*")
        if path.is_file()
        for record in records(path)
    }
    assert written <= set(FILES)
