"""Labels corrected in the sentences' file reach every study of the stored run; no model runs."""

import json
import shutil
import subprocess
import sys

import pytest
import xarray as xr

from actlas.store import Store
from tests import commands

SENTENCES = ("She drank her tea.", "He gave her tea.", "He left her tea.")
FIRST = {"kind": ("animal", "plant", "plant")}
CORRECTED = {"kind": ("animal", "animal", "plant")}
SECOND = {"kind": ("plant", "animal", "animal"), "score": (1, 2, 3)}
STUDY = """
[model]
name = "demo"
[runs.it]
sentences = "rows.csv"
sites = ["resid"]
edits = ["skip:layer=1"]
[analyses.norms]
by = "kind"
cluster = "position"
[analyses.downstream]
"""


def write(folder, columns, texts=SENTENCES, name="rows.csv"):
    rows = zip(texts, *columns.values(), strict=False)
    lines = [",".join(["text", *columns]), *(",".join(map(str, row)) for row in rows)]
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extracted")
    write(folder, FIRST)
    done = commands.run(
        folder, "extract", "rows.csv", "--store", "store", "--name", "it", "--site", "resid"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(extracted, tmp_path):
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    return tmp_path


def groups(folder, run="it"):
    # a value of one sentence has clusters of its own
    asked = ("--by", "kind", "--cluster", "position", "--bootstrap", "0", "--json")
    done = commands.run(folder, "norms", run, "--store", "store", *asked)
    assert done.returncode == 0, done.stderr
    tokens = json.loads(done.stdout)["tokens"]
    return {
        name.removeprefix("kind="): count
        for name, count in tokens.items()
        if name.startswith("kind=")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "changed", "expected"),
    [
        (CORRECTED, {"kind": 1}, {"animal": 13, "plant": 5}),
        (SECOND, {"kind": 3}, {"plant": 8, "animal": 10}),
    ],
)
@pytest.mark.parametrize("command", ["relabel", "extract", "sweep"])
def test_corrected_labels_make_the_groups(command, columns, changed, expected, folder, actlas):
    assert groups(folder) == {"animal": 8, "plant": 10}
    write(folder, columns)
    arguments = {
        "relabel": ("relabel", "it", "rows.csv"),
        "extract": ("extract", "rows.csv", "--site", "resid"),
        "sweep": ("sweep", "rows.csv", "--edit", "skip:layer=2", "--site", "resid"),
    }[command]
    asked = actlas(*arguments, "--store", "store", "--dry-run", "--json")
    reported = json.loads(asked.stdout)["changed" if command == "relabel" else "labels"]
    assert (reported["version"], reported["changed"], reported["added"]) == (
        2,
        changed,
        [name for name in columns if name not in FIRST],
    )
    assert "would become version 2" in actlas(*arguments, "--store", "store", "--dry-run").stdout
    assert groups(folder) == {"animal": 8, "plant": 10}  # nothing was done
    done = actlas(*arguments, "--store", "store")
    assert (done.returncode, "are now version 2" in done.stdout) == (0, True), done
    assert groups(folder) == expected
    again = actlas(*arguments, "--store", "store")
    assert "version 3" not in again.stdout
    (name,) = (folder / "actlas-results/it").glob("norms*.nc")
    with xr.open_dataset(name, engine="h5netcdf") as result:
        assert result.attrs["labels"] == f"2:{Store(folder / 'store').run('it').labels_digest}"
    assert "version 2: kind" in actlas("show", "it", "--store", "store").stdout
    record = json.loads(actlas("ls", "--store", "store", "--json").stdout)["runs"][0]
    assert record["labels"]["version"] == 2
    assert f"v2 {' '.join(columns)}" in actlas("ls", "--store", "store").stdout


@pytest.mark.slow
def test_a_study_follows_its_labels(tmp_path, actlas):
    write(tmp_path, FIRST)
    (tmp_path / "s.toml").write_text(STUDY)

    def run():
        done = json.loads(actlas("study", "run", "s.toml", "--json").stdout)["done"]
        page = (tmp_path / "actlas-s/report.html").read_text()
        with xr.open_dataset(
            tmp_path / "actlas-s/results/norms/norms.nc", engine="h5netcdf"
        ) as result:
            tokens = result["tokens"].to_series().to_dict()
        return (
            {
                line["of"]
                for line in done
                if "done in" in line["did"] or "computed in" in line["did"]
            },
            page,
            tokens,
        )

    _, page, tokens = run()
    assert (tokens["kind=animal"], tokens["kind=plant"]) == (8, 10)
    assert "version 1: kind" in page
    assert run()[0] == set()
    write(tmp_path, CORRECTED)
    checked = actlas("study", "check", "s.toml").stdout
    assert "labels would become version 2" in " ".join(checked.split())
    assert "up to date" not in checked
    redone, page, tokens = run()
    assert redone == {"norms", "downstream"}
    assert (tokens["kind=animal"], tokens["kind=plant"]) == (13, 5)
    assert "version 2: kind" in page
    assert "Made with version" not in page
    assert run()[0] == set()
    assert "up to date" in actlas("study", "check", "s.toml").stdout


@pytest.mark.slow
def test_a_report_says_what_was_made_with_older_labels(folder, actlas):
    groups(folder)
    write(folder, CORRECTED)
    assert actlas("relabel", "it", "rows.csv", "--store", "store").returncode == 0
    assert actlas("report", "actlas-results/it", "--store", "store").returncode == 0
    page = (folder / "actlas-results/it/report.html").read_text()
    assert "Made with version 1 of the labels; it has version 2 now." in page
    groups(folder)
    actlas("report", "actlas-results/it", "--store", "store")
    assert "Made with version" not in (folder / "actlas-results/it/report.html").read_text()


@pytest.mark.slow
def test_relabelling_a_variant_relabels_its_baseline(folder, actlas):
    assert (
        actlas(
            "sweep", "rows.csv", "--store", "store", "--edit", "skip:layer=1", "--site", "resid"
        ).returncode
        == 0
    )
    write(folder, CORRECTED)
    variant = next(run for run in Store(folder / "store").runs() if run.baseline_id)
    assert actlas("relabel", variant.id, "rows.csv", "--store", "store").returncode == 0
    assert groups(folder) == groups(folder, variant.id) == {"animal": 13, "plant": 5}


def test_a_new_variant_of_a_stored_baseline_brings_new_labels(folder, actlas):
    write(folder, CORRECTED)
    done = actlas(
        "extract", "rows.csv", "--store", "store", "--site", "resid", "--edit", "skip:layer=1"
    )
    assert "labels are now version 2: 1 value of kind changed" in done.stdout
    assert groups(folder) == {"animal": 13, "plant": 5}


def test_an_input_without_columns_leaves_the_labels(folder, actlas):
    (folder / "rows.txt").write_text("".join(f"{text}\n" for text in SENTENCES))
    done = actlas("extract", "rows.txt", "--store", "store", "--site", "resid")
    assert "labels stay version 1 (kind): this input has no columns" in done.stdout
    assert groups(folder) == {"animal": 8, "plant": 10}
    assert "kind removed" in actlas("relabel", "it", "rows.txt", "--store", "store").stdout
    assert Store(folder / "store").run("it").labels.columns == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (SENTENCES[:2], "expected the 3 sentences of run it in their order, got 2 sentences"),
        ((*SENTENCES, "More."), "got 4 sentences, from line 5 on too many"),
        (
            (SENTENCES[0], SENTENCES[2], SENTENCES[1]),
            "line 3: expected the 3 sentences of run it in their order, here",
        ),
        (("She drank her tea!", *SENTENCES[1:]), "line 2: expected the 3 sentences"),
        (("x" * 10**5, *SENTENCES[1:]), "line 2: expected the 3 sentences"),
    ],
)
def test_other_sentences_are_refused_in_a_line(texts, message, folder, actlas):
    write(folder, {"kind": ["a"] * len(texts)}, texts)
    done = actlas("relabel", "it", "rows.csv", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines()), len(done.stderr) < 600) == (
        1,
        1,
        True,
    ), done.stderr[:900]
    assert message in done.stderr
    assert Store(folder / "store").run("it").labels_version == 1


def test_lines_that_the_run_skipped_are_skipped_again(folder, actlas):
    write(
        folder,
        {"kind": ("a", "b", "c", "d", "e")},
        (SENTENCES[0], " ", *SENTENCES[1:], "Not in the run."),
    )
    assert actlas("relabel", "it", "rows.csv", "--store", "store").returncode == 1
    done = actlas("relabel", "it", "rows.csv", "--store", "store", "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert Store(folder / "store").run("it").labels.columns["kind"].tolist() == ["a", "c", "d"]


def test_an_export_is_not_relabelled(folder, actlas):
    assert actlas("export", "it", "out.h5", "--store", "store").returncode == 0
    done = actlas("relabel", "out.h5", "rows.csv", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "relabel its run and export that again" in done.stderr
    assert "version 1: kind" in actlas("show", "./out.h5").stdout


def test_a_column_that_cannot_be_stored_is_refused_before_anything_is_done(folder, actlas):
    for columns in (
        {"nll": (1, 2, 3)},
        {"x" * 300: (1, 2, 3)},
        {f"c{number}": (1, 2, 3) for number in range(2001)},
    ):
        write(folder, columns)
        for command in (
            ("relabel", "it", "rows.csv"),
            ("extract", "rows.csv"),
            ("extract", "rows.csv", "--dry-run"),
        ):
            done = actlas(*command, "--store", "store")
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    assert Store(folder / "store").run("it").labels_version == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["_nc4_non_coord_layer", "two words", "kind_bytes", "日本", "a/b", "column_1"]
)
def test_what_is_extracted_is_sound_whatever_its_columns_are_called(name, tmp_path, actlas):
    write(tmp_path, {name: ("a", "b", "c")})
    assert (
        actlas(
            "extract", "rows.csv", "--store", "store", "--name", "it", "--site", "resid"
        ).returncode
        == 0
    )
    assert actlas("verify", "--store", "store").returncode == 0
    assert actlas("export", "it", "out.h5", "--store", "store").returncode == 0
    assert actlas("verify", "./out.h5").returncode == 0
    done = actlas("norms", "./out.h5", "--by", name, "--cluster", "position", "--json")
    assert f"{name}=b" in json.loads(done.stdout)["tokens"]


def test_it_needs_no_model_and_none_of_its_libraries(folder):
    code = (
        "import sys\nfrom actlas.scripts.cli import main\n"
        "try:\n    main(['relabel', 'it', 'rows.csv', '--store', 'store'])\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'tokenizers', 'xarray', 'dask'} & "
        "set(sys.modules)))"
    )
    write(folder, CORRECTED)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_and_a_run_that_is_not_there(folder, actlas):
    assert "no model is needed" in " ".join(actlas("relabel", "--help").stdout.split())
    assert actlas("relabel", "nothing", "rows.csv", "--store", "store").returncode == 2
    assert "does not exist" in actlas("relabel", "it", "nothing.csv", "--store", "store").stderr
