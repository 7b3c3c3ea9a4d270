"""Two study files of one name, run from one folder, do not write over each other.

One that was moved goes on where it was.
"""

import shutil

import pytest

from actlas.scripts.study.analysing import StudyPaths
from actlas.scripts.study.file import read_study
from actlas.scripts.study.update import bring_up_to_date

STUDY = (
    '[model]\nname = "MODEL"\n[runs.it]\nsentences = "her.txt"\n'
    '[analyses.WORD]\nstage = "variance"\ntarget = "her"\n'
)
TEXTS = "Mary lost her key.\nWe saw her.\nTom gave her a coat and walked home.\n"


@pytest.fixture
def folder(small_model, tmp_path, monkeypatch):
    """A folder with two study files of one name, of which the first was run."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "her.txt").write_text(TEXTS)
        (tmp_path / name / "s.toml").write_text(
            STUDY.replace("MODEL", str(small_model)).replace("WORD", f"of-{name}")
        )
    monkeypatch.chdir(tmp_path)
    run("a")
    return tmp_path


def run(name, out=None):
    """Bring a study up to date; return what was said."""
    said = []
    study = read_study(read_path(name))
    folder = out or read_path(".").parent / "actlas-s"
    bring_up_to_date(
        study,
        StudyPaths(folder, folder / "store"),
        lambda of, what: said.append(f"{of}: {what}"),
        quiet=True,
    )
    return "\n".join(said)


def read_path(name):
    from pathlib import Path

    return Path(name) / "s.toml"


def refused(name, *words):
    from actlas.store.errors import UsageError

    kept = (
        StudyPaths(read_path("."), read_path(".")),
        (read_path(".").parent / "actlas-s/study.json").read_bytes(),
    )
    with pytest.raises(UsageError) as caught:
        run(name)
    assert len(str(caught.value).splitlines()) == 1
    for word in ("belongs to the study file", "--out", *words):
        assert word in str(caught.value)
    assert (read_path(".").parent / "actlas-s/study.json").read_bytes() == kept[1]


@pytest.mark.slow
def test_a_second_study_of_that_name_is_refused_and_has_room_elsewhere(folder):
    refused("b", str(folder / "a" / "s.toml"))
    assert "done in" in run("b", folder / "elsewhere")
    assert "up to date" in run("a")


@pytest.mark.slow
def test_it_is_refused_by_check_too_and_on_the_command_line(actlas, folder):
    for command in ("check", "run"):
        done = actlas("study", command, "b/s.toml")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "--out" in done.stderr
    assert actlas("study", "check", "a/s.toml").returncode == 0
    assert folder.is_dir()


def test_after_both_were_moved(folder):
    (folder / "a").rename(folder / "a2")
    (folder / "b").rename(folder / "b2")
    refused("b2", "moved and edited")
    assert "done in" not in run("a2")
    refused("b2")
    assert "done in" not in run("a2")


def test_the_same_text_beside_other_sentences_is_another_study(folder):
    shutil.copy(folder / "a/s.toml", folder / "b/s.toml")
    refused("b")
    (folder / "b/her.txt").write_text(TEXTS + "She lost her way.\n")
    refused("b")
    shutil.rmtree(folder / "a")
    refused("b", "moved and edited")


@pytest.mark.slow
def test_an_edited_study_is_still_the_same(folder):
    path = folder / "a/s.toml"
    path.write_text(path.read_text() + "bootstrap = 5\n")
    assert "done in" in run("a")
    path.rename(folder / "a/old.toml")
    (folder / "a/old.toml").rename(path)
    assert "done in" not in run("a")


@pytest.mark.slow
def test_a_project_moved_or_copied_as_a_whole_goes_on(folder, monkeypatch):
    shutil.copytree(folder, folder / "copy")
    monkeypatch.chdir(folder / "copy")
    path = folder / "copy/a/s.toml"
    path.write_text(path.read_text() + "bootstrap = 5\n")
    assert "computed in" not in run("a")
    refused("b")
    monkeypatch.chdir(folder)
    assert "done in" not in run("a")
    (folder / "copy").rename(folder / "moved")
    monkeypatch.chdir(folder / "moved")
    assert "done in" not in run("a")


def test_the_shipped_study_is_the_same_wherever_it_is_installed():
    from actlas.scripts.study.ownership import STUDIES, study_place

    assert study_place(read_study(STUDIES / "demo.toml")) == "demo:demo.toml"
