"""The page that compares: what belongs together, by how much it differs, and why not."""

import re
import shutil

import numpy as np
import pytest
import xarray as xr

from actlas.scripts.reporting.pairing import compare_numbers, match_results, option_table
from actlas.scripts.reporting.results import Folder, Result
from actlas.store.errors import UsageError
from tests import commands
from tests.answers import sealed_again
from tests.scripts.reporting.test_report import Page

LABELS = ("A", "B")


def result(name, stage="scan", options=None, **variables):
    """A result of arrays by their dims; its layers are numbered."""
    data = xr.Dataset({key: (dims, np.array(values)) for key, (dims, values) in variables.items()})
    for dim in data.dims:
        data[dim] = np.arange(data.sizes[dim])
    if "nll_change_interval" in data:
        data["bound"] = ["lower", "upper"]
    return Result(name, None, stage, ("0" * 16,), options or {}, {}, (), ("found",), {}, data)


def folder(*results):
    return Folder(None, {}, results)


def matched(*results):
    return match_results([folder(each) for each in results], LABELS)[0]


def test_results_of_one_study_and_name_belong_together():
    one = folder(result("skip", "downstream"), result("scan"), result("norms", "norms"))
    other = folder(result("scan"), result("x", "downstream"), result("skip", "downstream"))
    found = match_results([one, other], LABELS)
    names = [[each.name for each in pair.results] for pair in found]
    assert names == [["skip", "skip"], ["scan", "scan"]]


def test_what_is_left_is_matched_in_order():
    found = match_results(
        [folder(result("variance-1", "variance")), folder(result("b"))] * 2, "ABCD"
    )
    assert [each and each.name for each in found[0].results] == ["variance-1", None] * 2
    with pytest.raises(
        UsageError, match="no study is in two of the folders: A has scan; B has norms"
    ):
        match_results([folder(result("a")), folder(result("b", "norms"))], LABELS)


def test_the_largest_difference_is_said_with_intervals():
    bounds = [[1.5, 4.0], [2.5, 6.0]]
    one = result(
        "a", nll_change=("layer", [2.0, 5.0]), nll_change_interval=(("bound", "layer"), bounds)
    )
    other = result(
        "a",
        nll_change=("layer", [1.0, 5.5]),
        nll_change_interval=(("bound", "layer"), [[0.5, 5], [1.2, 6]]),
    )
    found = compare_numbers(matched(one, other), LABELS)
    assert found.differences == (
        "nll_change differs most at layer 0: 2 [1.5, 2.5] in A, 1 [0.5, 1.2] in B; the "
        "intervals do not overlap",
    )
    (table,) = found.tables
    assert table.header == ("layer", "A", "B", "B − A")
    assert [row[-1][1] for row in table.rows] == [-1.0, 0.5]


def test_what_cannot_be_compared_says_why():
    one = result("a", nll_change=("layer", [2.0, 5.0]), final_relative_delta=("layer", [1.0, 2.0]))
    other = result("a", nll_change=("layer", [2.0, 5.0, 1.0]))
    found = compare_numbers(matched(one, other), LABELS)
    assert found.notes == (
        "nll_change: 2 along layer in A, 3 in B",
        "final_relative_delta: not in B",
    )
    assert found.tables == found.differences == ()


def test_options_that_differ_are_said():
    pair = matched(
        result("a", options={"seed": 0, "first_token": "leave"}), result("a", options={"seed": 1})
    )
    table = option_table(pair, LABELS)
    assert [[text for text, _ in row] for row in table.rows] == [
        ["seed", "0", "1"],
        ["first_token", "leave", "not set"],
    ]
    assert option_table(matched(result("a"), result("a")), LABELS) is None


@pytest.mark.slow
def test_two_folders_side_by_side(actlas, studied):
    other = studied / "<b>other"
    shutil.copytree(studied / "actlas-small", other)
    (other / "study.json").unlink()

    def changed(found):
        found["nll_change"][{"layer": 1}] += 1.5
        return found

    sealed_again(other / "results/scan/scan.nc", changed)
    done = actlas(
        "report",
        "actlas-small",
        "<b>other",
        "--out",
        "both.html",
        "--store",
        "actlas-small/store",
    )
    assert (done.returncode, done.stdout) == (0, "report  both.html\n"), done.stderr
    page = (studied / "both.html").read_text()
    read = Page(page)
    assert len(read.ids) == len(set(read.ids))
    assert read.local <= set(read.ids)
    assert all(value.startswith("data:") for value in read.others)
    assert "<b>other" not in page
    assert "&lt;b&gt;other" in page
    assert "nll_change differs most at layer 1" in page
    assert "variance is the same in" in page
    headings = re.findall(r'<section id="part-\d+"', page)
    assert len(headings) > 4
    assert (
        actlas("report", "actlas-small/results/scan/scan.nc", "--out", "one.html").returncode == 0
    )
    assert (studied / "one.html").read_text().count('<section id="part-') == 1


@pytest.fixture(scope="module")
def place(studied_once, tmp_path_factory):
    """A copy of the studied folder, with an empty one beside it."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(studied_once[0], folder, dirs_exist_ok=True)
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("actlas-small", "actlas-small/../actlas-small", "--out", "a.html"), "is given twice"),
        (("actlas-small", "empty", "--out", "a.html"), "empty holds no result"),
        (("actlas-small", "empty"), "give --out FILE"),
        (("actlas-small", "--out", "a.txt"), "expected a file that ends in .html"),
        (("actlas-small", "--out", "none/a.html"), "none is not a directory"),
        (("actlas-small", "--out", "a.html", "--store", "none"), "none is not there"),
        (
            ("actlas-small/results/scan", "actlas-small/results/norms", "--out", "a.html"),
            "no study is in two",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(place, arguments, message):
    done = commands.run(place, "report", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (place / "a.html").exists()
