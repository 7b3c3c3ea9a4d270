"""A user's own function as a stage: called, cached by its text, shown; faults are one line."""

import json

import pytest
import xarray as xr

from tests import commands

MINE = """\
from matplotlib.figure import Figure


def largest(dataset):
    result = abs(dataset["resid"]).max(("token", "d_model")).to_dataset(name="largest")
    result.attrs["findings"] = [f"the largest value is {float(result['largest'].max()):.3g}"]
    figure = Figure()
    figure.subplots().plot(result["depth"], result["largest"])
    return result, figure


def bare(dataset):
    return dataset["resid"].mean("d_model").to_dataset(name="mean")


def wrong(dataset):
    return 3


def raises(dataset):
    return dataset["rseid"]
"""
TABLE = '\n[analyses.mine]\nstage = "mine.py:largest"\n'


@pytest.fixture
def own(studied):
    (studied / "mine.py").write_text(MINE)
    study = studied / "small.toml"
    study.write_text(study.read_text() + TABLE)
    return studied


def states(folder):
    done = commands.run(folder, "study", "check", "small.toml", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["analyses"]
    return {name for name, state in found.items() if state != "up to date"}


@pytest.mark.slow
def test_it_is_called_shown_and_up_to_date_until_its_text_changes(own):
    assert states(own) == {"mine"}
    done = commands.run(own, "study", "run", "small.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "the largest value is " in done.stdout
    folder = own / "actlas-small/results/mine"
    assert {path.suffix for path in folder.iterdir()} == {".nc", ".png", ".svg"}
    with xr.open_dataset(folder / "own-largest.nc", engine="h5netcdf") as result:
        assert result["largest"].dims == ("depth",)
    page = (own / "actlas-small/report.html").read_text()
    assert "The largest value is " in page
    assert "Drawn by mine.py." in page
    assert commands.run(own, "verify", "actlas-small").returncode == 0
    assert states(own) == set()
    (own / "mine.py").write_text(MINE + "\n# changed\n")
    assert states(own) == {"mine"}


@pytest.mark.slow
def test_without_a_figure_or_findings(own):
    study = own / "small.toml"
    study.write_text(study.read_text().replace("mine.py:largest", "mine.py:bare"))
    done = commands.run(own, "study", "run", "small.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "bare of mine.py: mean" in done.stdout


@pytest.mark.parametrize(
    ("stage", "text", "code", "message"),
    [
        ("mine.py:nothing", MINE, 2, "mine.py: unknown function 'nothing'"),
        ("none.py:largest", MINE, 2, "none.py does not exist"),
        ("mine.txt:largest", MINE, 2, "expected FILE.py:FUNCTION"),
        ("mine.py:largest", "def largest(:\n", 2, "mine.py, line 1: "),
        ("mine.py:wrong", MINE, 1, "mine.py: wrong returned int, expected an xarray.Dataset"),
        ("mine.py:raises", MINE, 1, "mine.py, line 21: KeyError"),
        ("mine.py:largest", "import no_such\n\n\ndef largest(x): ...\n", 1, "mine.py, line 1: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(own, stage, text, code, message):
    (own / "mine.py").write_text(text)
    study = own / "small.toml"
    study.write_text(study.read_text().replace("mine.py:largest", stage))
    done = commands.run(own, "study", "run", "small.toml", "--json")
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr


def test_it_has_no_keys_of_its_own(own):
    study = own / "small.toml"
    study.write_text(study.read_text() + "bins = 3\n")
    done = commands.run(own, "study", "check", "small.toml")
    assert (done.returncode, "unknown key 'bins'" in done.stderr) == (2, True)
