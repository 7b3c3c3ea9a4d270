"""``actlas extract``: cache, dry run, names, formats; no bad input leaves anything behind."""

import json
import shutil
import subprocess
import sys

import pytest

from actlas.store import Store
from tests.small_model import SIZES, TEXTS


@pytest.fixture
def extract(actlas, small_model, sentence_file):
    def run(*options, source=sentence_file, model=small_model, **rest):
        return actlas("extract", source, "--model", model, "--store", "store", *options, **rest)

    return run


def test_the_second_time_answers_from_the_store_without_torch(
    extract, tmp_path, small_model, sentence_file
):
    first = json.loads(extract("--json").stdout)
    assert first["units"]["computed"] == first["units"]["total"] == 1
    assert first["bytes_written"] > 0
    code = (
        "import sys; from actlas.scripts.cli import main; heavy = ('torch', "
        "'transformers', 'xarray')\n"
        "try: main()\nfinally: print([name for name in heavy if name in sys.modules], "
        "file=sys.stderr)"
    )
    arguments = [
        "extract",
        sentence_file,
        "--model",
        small_model,
        "--store",
        tmp_path / "store",
        "--json",
        "--cached-only",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"
    second = json.loads(done.stdout)
    assert second["units"] == {"total": 1, "cached": 1, "computed": 0}
    assert (second["run"], second["bytes_written"]) == (first["run"], 0)


def test_the_same_model_and_text_in_other_places_is_the_same_run(
    extract, store, tmp_path, small_model, sentence_file
):
    run = store.run("it").id
    moved = shutil.copytree(small_model, tmp_path / "moved")
    renamed = shutil.copy(sentence_file, tmp_path / "renamed.txt")
    again = json.loads(extract("--json", "--cached-only", source=renamed, model=moved).stdout)
    assert again["run"] == run
    piped = extract(
        "--json", "--cached-only", source="-", stdin=sentence_file.read_text(encoding="utf-8")
    )
    assert json.loads(piped.stdout)["run"] == run


def test_dry_run_says_what_is_missing_and_changes_nothing(extract, tmp_path):
    dry = extract("--dry-run")
    assert "new" in dry.stdout
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("store")
def test_dry_run_on_a_known_run(extract):
    dry = json.loads(
        extract("--dry-run", "--json", "--site", "q", "--site", "hook_resid_mid").stdout
    )
    assert dry["missing"]["sites"] == ["resid_mid"]
    assert dry["missing"]["units"] == dry["units"] > 1
    assert dry["missing"]["bytes"] == dry["tokens"] * SIZES["n_layer"] * SIZES["n_embd"] * 4
    assert dry["memory_bytes"] > 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--dtype", "bfloat16"], "numerics.dtype: bfloat16 here, float32 there"),
        (["--attention", "eager"], "numerics.attention: eager here, sdpa there"),
        (["--bos"], "tokens: "),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_miss_is_explained(extract, options, field):
    missed = extract("--cached-only", *options)
    assert missed.returncode == 1
    assert f"the nearest run, it, differs in {field}" in missed.stderr
    assert field in extract("--dry-run", *options).stdout


@pytest.mark.usefixtures("store")
def test_cached_only_names_what_is_missing(extract):
    missed = extract("--site", "q", "--site", "z", "--cached-only")
    assert missed.returncode == 1
    assert "run it lacks z in" in missed.stderr


def test_names(extract, tmp_path):
    assert extract("--site", "q").returncode == 0
    assert extract("--site", "q", "--bos").returncode == 0
    assert Store(tmp_path / "store").names().keys() == {"her-model", "her-model-2"}
    assert extract("--site", "q", "--name", "mine").returncode == 0
    taken = extract("--site", "q", "--bos", "--name", "mine")
    assert (taken.returncode, len(taken.stderr.splitlines())) == (2, 1)
    assert "already: choose another name" in taken.stderr
    assert "bad run name" in extract("--site", "q", "--name", "a/b").stderr


def test_columns_and_skipped_lines(extract, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text(f'text,year\n"{TEXTS[1]}",1999\n" ",2000\n{TEXTS[2]},2001\n')
    assert "line 3: blank" in extract("--site", "q", source=source).stderr
    done = extract("--site", "q", "--skip-bad", source=source)
    assert done.stderr.strip() == "skipped line 3: blank"
    run = Store(tmp_path / "store").runs()[0]
    assert run.sentence_labels()["year"].values.tolist() == [1999, 2001]
    source.write_text(f'text,year\n"{TEXTS[1]}",1\n{TEXTS[2]},2\n')
    assert (
        "labels are now version 2: 2 values of year changed"
        in extract("--site", "q", source=source).stdout
    )
    assert Store(tmp_path / "store").runs()[0].sentence_labels()["year"].values.tolist() == [1, 2]


def test_standard_input_is_called_so(extract):
    for stdin, message in (
        ("", "standard input holds no sentence"),
        ("a\nb\rc\n", "standard input, line 2: contains a carriage return"),
    ):
        assert message in extract(source="-", stdin=stdin).stderr


def write(path, content):
    path.write_bytes(content)
    return path


BAD = {
    "empty": (b"", [], 1, "holds no sentence"),
    "line end": (b"one\ntwo\rthree", [], 1, "line 2: contains a carriage return"),
    "encoding": (b"one\n\xff\n", [], 1, "line 2: byte 1 (0xff) is not UTF-8"),
    "too long": (b"xyz " * 200, [], 1, "tokens, but"),
    "site": (b"one", ["--site", "resd"], 2, "unknown site 'resd': did you mean resid"),
    "hook name": (b"one", ["--site", "hook_resid_pst"], 2, "did you mean hook_resid_post"),
    "device": (b"one two", ["--device", "cuda:7"], 2, "device 'cuda:7' is not there"),
    "no device": (b"one two", ["--device", "abacus"], 2, "unknown device 'abacus'"),
    "units": (b"one", ["--unit-tokens", "0"], 2, "--unit-tokens"),
    "dtype": (b"one", ["--dtype", "float8"], 2, "--dtype"),
}


@pytest.mark.parametrize(("content", "options", "code", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    extract, tmp_path, content, options, code, message
):
    done = extract(*options, source=write(tmp_path / "bad.txt", content))
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere", "hub cannot be reached"),
        ("./here", "is not a directory"),
        (".", "no config.json"),
    ],
)
def test_unknown_model(extract, tmp_path, model, message):
    done = extract(model=model, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hub"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "store").exists()


def test_pickled_model_is_refused(extract, tmp_path, small_model):
    folder = shutil.copytree(small_model, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    done = extract(model=folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "only pickled weights" in done.stderr


def test_folder_that_is_no_store(extract, tmp_path):
    write(tmp_path / "store", b"a file")
    assert "is not an actlas store" in extract().stderr
    (tmp_path / "store").unlink()
    (tmp_path / "store").mkdir()
    write(tmp_path / "store" / "thesis.tex", b"precious")
    done = extract()
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "not empty (thesis.tex)" in done.stderr


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from actlas.scripts.cli import main
main()
"""


@pytest.mark.slow
def test_no_disk_space_is_one_line(tmp_path, small_model, sentence_file):
    """With a limit on the size of files, as a full disk or a quota gives."""
    source = tmp_path / "many.txt"
    source.write_text("".join(f"{text}\n" for text in TEXTS * 20), encoding="utf-8")
    arguments = [
        "extract",
        source,
        "--model",
        small_model,
        "--store",
        tmp_path / "store",
        "--unit-tokens",
        10_000,
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "cannot reserve" in done.stderr
    assert not list(tmp_path.glob("store/runs/*/shards/*"))
    assert not list(tmp_path.glob("store/runs/*/tmp/*"))


def test_train_mode_is_a_run_of_its_own(extract, store, actlas):
    eval_run = store.run("it").id
    record = json.loads(
        extract(
            "--json", "--train-mode", "--seed", "4", "--name", "dropped", "--site", "resid"
        ).stdout
    )
    assert record["run"] != eval_run
    assert "dropout on, seed 4" in actlas("show", "dropped", "--store", "store").stdout
    missed = extract("--cached-only", "--train-mode", "--seed", "5").stderr
    assert "the nearest run, dropped, differs in numerics.seed: 5 here, 4 there" in missed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "3"], "--seed is of --train-mode or --temperature: give one of them too"),
        (["--train-mode", "--seed", "-3"], "-3 is not in the range"),
        (
            ["--site", "attn.hook_rot_q"],
            "gpt2 has no site q_rot: its positions are not rotary; expected one of resid, ",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(extract, tmp_path, options, message):
    done = extract(*options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "store").exists()


def test_generated_text_is_stored_with_its_prompts_and_found_again(actlas, small_model, tmp_path):
    (tmp_path / "prompts.txt").write_text("We saw her\nTom gave her\n")
    extract = ("extract", "prompts.txt", "--model", small_model, "--store", "store", "--generate")
    asked = (4, "--site", "resid", "--layers", "0")
    missed = actlas(*extract, *asked, "--cached-only")
    assert missed.returncode == 1
    assert "no stored run has what this model writes" in missed.stderr
    assert actlas(*extract, *asked).returncode == 0
    again = actlas(*extract, *asked, "--cached-only")
    assert "all stored already" in again.stdout
    run = Store(tmp_path / "store").runs()[0]
    assert run.sentence_labels()["prompt_tokens"].values.max() < run.tokens
    assert (
        "up to 4 tokens behind each prompt, the likeliest"
        in actlas("show", run.name, "--store", "store").stdout
    )
    for wrong, said in (
        ((4, "--seed", 1), "--seed is of --train-mode or --temperature"),
        ((0,), "--generate is 0, expected 1 or more"),
        ((4, "--edit", "skip:layer=0"), "--edit is not in force"),
    ):
        refused = actlas(*extract, *wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert said in refused.stderr
