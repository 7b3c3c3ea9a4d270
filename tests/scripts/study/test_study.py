"""Study files from a user's side: checked, brought up to date, and only what changed done again."""

import json
import subprocess
import sys

import pytest
import xarray as xr

from actlas.analysis import registry
from actlas.analysis.declaring.options import specs
from actlas.scripts.study.file import read_study
from actlas.scripts.study.record import read_record, write_record
from actlas.scripts.study.template import template
from actlas.store import Store
from tests import commands


def call(folder, *arguments, code=0):
    done = commands.run(folder, *arguments)
    assert done.returncode == code, done.stderr
    return done


def redone(folder, *arguments):
    """Run the study; return the names of the analyses that were done.

    The run's is there if something of it was computed.
    """
    lines = json.loads(call(folder, "study", "run", "small.toml", "--json", *arguments).stdout)[
        "done"
    ]
    return {
        line["of"] for line in lines if "done in" in line["did"] or "computed in" in line["did"]
    }


def change(folder, old, new):
    text = (folder / "small.toml").read_text()
    assert old in text
    (folder / "small.toml").write_text(text.replace(old, new))


def test_the_first_call_does_everything(studied_once):
    folder, said = studied_once
    assert said.count("computed in") == 2
    assert said.count("done in") == 6
    assert "every checksum holds" in said
    assert "holds to the rounding of float32 at every layer" in " ".join(said.split())
    runs = Store(folder / "actlas-small" / "store").runs()
    assert len([run for run in runs if run.edits]) == 4
    with xr.open_dataset(
        folder / "actlas-small/results/both/downstream.nc", engine="h5netcdf"
    ) as result:
        assert result["edits"].values.tolist() == [
            "zero:site=z,layer=0,head=0 scale:layer=1,factor=2"
        ]
    for stage in ("variance", "cosine", "reconstruct", "norms", "scan"):
        with xr.open_dataset(
            folder / f"actlas-small/results/{stage}/{stage}.nc", engine="h5netcdf"
        ) as result:
            assert result.attrs["stage"] == stage


@pytest.mark.slow
def test_a_second_call_computes_nothing_and_loads_no_torch(studied):
    before = {
        path: path.stat().st_mtime_ns
        for path in (studied / "actlas-small").rglob("*")
        if path.suffix in (".nc", ".svg", ".h5")
    }
    code = (
        "import sys\nfrom actlas.scripts.cli import main\n"
        "try:\n    main(['study', 'run', 'small.toml'])\n"
        "finally:\n    print('TORCH', 'torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=studied, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("up to date") == 8
    assert "TORCH False False" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bins = 20", "bins = 30", {"cosine"}),
        (
            '[analyses.variance]\ntarget = "her"',
            '[analyses.variance]\ntarget = "her"\nbootstrap = 5',
            {"variance"},
        ),
        ("[analyses.norms]", "[analyses.norms]\noutliers = 2", {"norms"}),
        ("[analyses.reconstruct]", '[analyses.reconstruct]\npair = "0,1"', {"reconstruct"}),
        ('edits = ["scale:*"]', 'edits = ["s*"]', {"both"}),
        ('edits = ["scale:*"]', 'edits = ["scale:*"]\nfirst_token = "include"', {"both"}),
        ("[analyses.both]", "[analyses.other]", {"other"}),
        ('"skip:layer=*", ', '"skip:layer=*", "scale:layer=0,factor=3", ', {"it", "both"}),
    ],
)
def test_a_changed_option_redoes_just_what_depends_on_it(studied, old, new, expected):
    change(studied, old, new)
    states = json.loads(call(studied, "study", "check", "small.toml", "--json").stdout)["analyses"]
    if "it" not in expected:
        assert {name for name, state in states.items() if state != "up to date"} == expected
    assert redone(studied) == expected
    assert redone(studied) == set()


@pytest.mark.slow
def test_other_sentences_redo_all_and_the_old_ones_are_still_there(studied):
    lines = (studied / "her.txt").read_text().splitlines()
    (studied / "her.txt").write_text("\n".join(lines[:-1]) + "\n")
    assert redone(studied) == {"it", "variance", "cosine", "reconstruct", "norms", "scan", "both"}
    (studied / "her.txt").write_text("\n".join(lines) + "\n")
    assert redone(studied) == {"variance", "cosine", "reconstruct", "norms", "scan", "both"}


@pytest.mark.slow
def test_a_further_site_is_measured_by_norms_alone(studied):
    change(
        studied,
        'sentences = "her.txt"',
        'sentences = "her.txt"\nsites = ["resid", "q", "k", "v", "attn_out", "mlp_out", "nll", '
        '"z"]',
    )
    assert redone(studied) == {"it", "norms"}


@pytest.mark.slow
@pytest.mark.parametrize("file", ["cosine.nc", "cosine_heatmap.svg"])
def test_what_is_lost_or_half_written_is_made_again(studied, file):
    path = studied / "actlas-small/results/cosine" / file
    content = path.read_bytes()
    if path.suffix == ".nc":
        path.write_bytes(content[:1000])
    else:
        path.unlink()
    assert redone(studied) == {"cosine"}
    assert len(path.read_bytes()) == len(content)


@pytest.mark.slow
def test_a_stage_that_was_interrupted_is_not_taken_for_done(studied):
    path = studied / "actlas-small" / "study.json"
    record = read_record(path)
    del record["analyses"]["scan"]  # as it stands while the stage is computed
    write_record(path, record)
    assert redone(studied) == {"scan"}


def test_a_damaged_store_is_an_error_of_the_run(studied):
    # so that the run is verified again
    change(studied, '"skip:layer=*", ', '"skip:layer=*", "scale:layer=0,factor=3", ')
    shard = max(
        (studied / "actlas-small/store").rglob("*.h5"), key=lambda path: path.stat().st_size
    )
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(content)
    done = call(studied, "study", "run", "small.toml", "--quiet", code=1)
    assert shard.name in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_store_can_be_shared(studied, tmp_path):
    assert redone(studied, "--out", "elsewhere", "--store", "actlas-small/store") == {
        "variance", "cosine", "reconstruct", "norms", "scan", "both",
    }  # fmt: skip
    assert not (studied / "elsewhere" / "store").exists()


def test_the_template_is_a_study_that_can_be_run(actlas, tmp_path):
    assert actlas("study", "new", "mine.toml").returncode == 0
    done = actlas("study", "check", "mine.toml")
    assert done.returncode == 0, done.stderr
    assert "the file is valid" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    again = actlas("study", "new", "mine.toml")
    assert (again.returncode, again.stderr) == (
        2,
        "Error: mine.toml is there already: give another name\n",
    )


def test_the_template_names_every_key_and_every_stage():
    import dataclasses

    from actlas.scripts.study.file import KEYS, Input, ModelChoice

    text = template()
    for key in KEYS[:2]:
        assert f"{key} = " in text
    for kind in (ModelChoice, Input):
        for field in dataclasses.fields(kind):
            assert f"{field.name} = " in text, field.name
    for stage in registry.names():
        for field, spec in specs(registry.find(stage).options):
            assert spec.command_only or f"{field.name} = " in text, field.name
        assert f"[analyses.{stage}]" in text or f'stage = "{stage}"' in text


def test_what_the_template_leaves_out_may_be_put_in(tmp_path):
    lines = template().splitlines()
    keys = [
        line.removeprefix("# ")
        for line in lines
        if line.startswith("# ") and (" = " in line[:24] or line.startswith("# ["))
    ]
    (tmp_path / "whole.toml").write_text(
        "\n".join(
            line.removeprefix("# ") if line.removeprefix("# ") in keys else line for line in lines
        )
    )
    assert len(keys) > 20
    study = read_study(tmp_path / "whole.toml")
    assert {analysis.stage.title for analysis in study.analyses} == set(registry.names())


HER = "[runs.a]\nsentences='demo:her.txt'\n"
WRONG = [
    ("", "has no run"),
    ("[runs.a\n", "is not TOML"),
    ("[run.a]\nsentences='a.txt'", "unknown table or key 'run': did you mean runs"),
    ("[runs.a]\nsentnces='a.txt'", "[runs.a]: unknown key 'sentnces': did you mean sentences"),
    ("[runs.a]", "[runs.a] lacks the key 'sentences'"),
    ("[runs.a]\nsentences=3", "sentences is 3, expected text"),
    ("[runs.a]\nsentences='-'", "a study reads files"),
    ("[runs.'../a']\nsentences='her.txt'", "expected a name of letters"),
    ("[runs.a]\nsentences='none.txt'", "[runs.a]: sentence file none.txt does not exist"),
    ("[runs.a]\nsentences='demo:she.txt'", "unknown shipped file 'demo:she.txt': did you mean "
                                           "demo:her.txt"),
    (HER + "sites=['kew']", "unknown site 'kew'"),
    (HER + "edits=['skp:layer=1']", "[runs.a]: edit 'skp:layer=1': unknown kind of edit 'skp': "
                                    "did you mean skip"),
    (HER + "edits=['skip:layer=99']", "[runs.a]: "),
    (HER + "edits=[[]]", "empty list"),
    ("[model]\nnmae='x'\n" + HER, "[model]: unknown key 'nmae': did you mean name"),
    ("[model]\ndtype='int'\n" + HER, "unknown dtype 'int'"),
    (HER + "[analyses.normss]", "unknown stage 'normss': did you mean norms"),
    (HER + "[analyses.variance]", "[analyses.variance]: no tokens to study"),
    (HER + "[analyses.variance]\ntarget='her'\ncontrol='x'", "unknown choice 'x'"),
    (HER + "[analyses.variance]\ntarget='hr'", "[analyses.variance]: "),
    (HER + "[analyses.cosine]\ntarget='her'\nbins=0", "bins is 0, expected 1 to 2,000"),
    (HER + "[analyses.cosine]\ntarget='her'\nlayers='5-99'", "5-99 is not within 0-7"),
    (HER + "[analyses.reconstruct]\npair='6,8'", "not consecutive"),
    (HER + "[analyses.reconstruct]\nquantile=2.0", "expected above 0 and at most 1"),
    (HER + "[analyses.norms]\nby='mood'", "unknown label column 'mood'"),
    (HER + "[analyses.norms]\nsites=['nll']", "unknown site of vectors 'nll'"),
    (HER + "[analyses.scan]", "[analyses.scan] compares variants: give [runs.a] edits"),
    (HER + "edits=['scale:layer=1,factor=2']\n[analyses.scan]", "skips no layer"),
    (HER + "edits=['skip:layer=1']\n[analyses.downstream]\nedits=['skip:layer=2']", "unknown edit"),
    (HER + "sites=['q']\n[analyses.reconstruct]", "needs resid attn_out mlp_out"),
    (f"{HER}{HER.replace('.a', '.b')}[analyses.norms]", "the key 'run': expected one of a, b"),
    (HER + "[analyses.norms]\nrun='b'", "unknown run 'b'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_cannot_be_meant_is_one_line(tmp_path, monkeypatch, text, message):
    from click.testing import CliRunner

    from actlas.scripts.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(text)
    for command in ("check", "run"):
        done = CliRunner().invoke(main, ["study", command, "a.toml"])
        assert done.exit_code in (1, 2), done.output
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("Error: a.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


@pytest.mark.parametrize(
    "arguments", [["study"], ["study", "new"], ["study", "check"], ["study", "run"]]
)
def test_help(actlas, arguments):
    done = actlas(*arguments, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_a_file_that_is_not_there_and_a_record_that_is_none(actlas, tmp_path):
    done = actlas("study", "run", "no.toml")
    assert (done.returncode, done.stderr) == (
        2,
        "Error: study file no.toml does not exist: `actlas study new no.toml` makes one\n",
    )
    actlas("study", "new", "a.toml")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text("[]")  # of some other program
    done = actlas("study", "check", "a.toml", "--out", "out")
    assert done.returncode == 2
    assert "is not a study's record" in done.stderr
