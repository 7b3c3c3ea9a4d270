"""Two questions never share a file.

The same one again replaces its own; and what is on the command line has bounds.
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.results.seals import check_result
from actlas.scripts.analyses.bounds import BOUNDS, check_bounds
from actlas.scripts.results.question import Question, slug
from actlas.store import Store
from actlas.store.errors import UsageError


class OfRun:
    """As much of a run as a question is of."""

    def __init__(self, number, **limits):
        self.id, self.limits = f"{number:016x}", limits


options = st.dictionaries(
    st.sampled_from(["word", "control", "seed"]), st.text(max_size=3) | st.integers(0, 3)
)
questions = st.builds(
    Question,
    st.sampled_from(["variance", "cosine"]),
    st.lists(st.builds(OfRun, st.integers(0, 3)), min_size=1, max_size=3),
    options,
    st.text(max_size=3),
)


@given(questions, questions)
def test_names_are_equal_just_where_questions_are(one, other):
    equal = one.record == other.record
    assert (one.digest == other.digest) == equal
    if not equal:
        assert one.name != other.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.name)


def test_a_part_of_a_run_is_another_question_than_the_whole():
    whole, part = (
        Question("variance", [run], {}) for run in (OfRun(1), OfRun(1, export={"layers": [0]}))
    )
    assert whole.name != part.name


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_a_slug_is_safe_in_any_file_system(text):
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug(text))
    assert len(slug(text)) <= 40


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("her", "her"),
        ("Café", "cafe"),
        ("cafe\u0301", "cafe"),
        ("她", "u5979"),
        ("can't", "can-t"),
        ("../..", ""),
        ("skip:layer=3", "skip-layer-3"),
    ],
)
def test_slugs(text, wanted):
    assert slug(text) == wanted


@pytest.mark.slow
def test_other_words_controls_pools_runs_and_groups_get_files_of_their_own(actlas, store, tmp_path):
    assert store.run("it")
    actlas("export", "it", "part.h5", "--store", "store", "--layers", "0")
    asked = [
        ["variance", "it", "--target", "her"],
        ["variance", "it", "--target", "the"],
        ["variance", "it", "--target", "her", "--control", "random"],
        ["variance", "it", "--target", "her", "--pool", "first"],
        ["variance", "it", "--target", "her", "--occurrence", "all"],
        ["variance", "it", "--target", "her", "--bootstrap", "5"],
        ["variance", "part.h5", "--target", "her"],
        ["norms", "it"],
        ["norms", "it", "--target", "her"],
        ["norms", "it", "--site", "q"],
        ["norms", "it", "--outliers", "2"],
        ["reconstruct", "it"],
        ["reconstruct", "it", "--threshold", "1"],
        ["reconstruct", "it", "--pair", "0,1"],
    ]
    for arguments in asked:
        done = actlas(*arguments, "--store", "store", "--out", "out")
        assert done.returncode == 0, done.stderr
    results = sorted((tmp_path / "out").glob("*.nc"))
    assert len(results) == len(asked)
    contents = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {path for result in results for path, _ in check_result(result).beside} == set(
        contents
    ) - set(results)
    for arguments in asked[:2] + asked[-1:]:
        assert actlas(*arguments, "--store", "store", "--out", "out").returncode == 0
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents
    done = actlas("report", "out", "--store", "store")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out/report.html").read_text()
    assert all(f'<span class="quiet">{path.stem}</span>' in page for path in results)


@pytest.mark.slow
def test_the_two_results_of_two_downstreams_of_a_run_are_kept(actlas, studied, tmp_path):
    names = sorted(Store(studied / "actlas-small/store").names())
    for variant in [name for name in names if "skip" in name][:2]:
        assert (
            actlas(
                "downstream", variant, "--store", "actlas-small/store", "--out", "out"
            ).returncode
            == 0
        )
    results = sorted(path.stem for path in (tmp_path / "out").glob("*.nc"))
    assert len(results) == 2
    assert all(re.fullmatch(r"downstream-skip-layer-\d-[0-9a-f]{8}", name) for name in results), (
        results
    )


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "arguments",
    [
        ["variance", "it", "--target", "her", "--bootstrap", "1000000000000"],
        ["variance", "it", "--target", "her", "--seed", "1" + "0" * 400],
        ["cosine", "it", "--target", "her", "--bins", "10000000000"],
        ["norms", "it", "--outliers", "1" + "0" * 30],
        ["export", "it", "a.h5", "--target", "her", "--context", "1" + "0" * 23],
        ["variance", "it", "--target", "her", "--workers", "1000000000"],
    ],
)
def test_numbers_beyond_all_bounds_are_one_line(actlas, tmp_path, arguments):
    done = actlas(*arguments, "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "is not in the range" in done.stderr
    assert (
        sorted(path.name for path in tmp_path.iterdir()) == ["her.txt", "store"]
        or not (tmp_path / "actlas-results").exists()
    )


@pytest.mark.parametrize("option", BOUNDS)
def test_study_files_have_the_same_bounds(option):
    least, most = BOUNDS[option]
    check_bounds(**{option: least})
    check_bounds(**{option: most})
    for value in (least - 1, most + 1, 10**4000):
        with pytest.raises(
            UsageError, match=f"{option} is .*, expected {least} to {most:,}"
        ) as caught:
            check_bounds(**{option: value})
        assert len(str(caught.value)) < 200
