"""``--labels`` and ``--window``: from the files to the labels of every dataset, and back again."""

import json
import shutil

import pytest

from actlas.store import Store
from actlas.store.runs.exported import Exported
from tests import commands
from tests.small_model import TEXTS

POS = [("her", "PRON"), ("the", "DET"), ("key", "NOUN")]
LONG = " ".join(TEXTS)
STUDY = """
[model]
name = "MODEL"
[runs.it]
sentences = "long.csv"
sites = ["resid"]
window = 40
stride = 20
labels = "pos.csv"
[analyses.norms]
by = "pos"
"""


def write_spans(folder, texts, values=POS, name="pos.csv"):
    """Write the spans of the words of ``values``."""
    lines = ["sentence,char_start,char_end,pos"]
    for number, text in enumerate(texts):
        for word, value in values:
            if f" {word} " in text:
                start = text.index(f" {word} ") + 1
                lines.append(f"{number},{start},{start + len(word)},{value}")
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [line.split(",") for line in lines[1:]]


def labelled(run, name="pos"):
    """Return sentence, characters and label of each token that has one."""
    data = run.dataset("resid")
    rows = zip(data["sentence"].values, data["text"].values, data[name].values, strict=True)
    places = zip(data["char_start"].values, data["char_end"].values, strict=True)
    return [
        (int(sentence), text[start:end], label)
        for (sentence, text, label), (start, end) in zip(rows, places, strict=True)
        if label
    ]


@pytest.fixture(scope="module")
def extracted(small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    rows = [f'"{text}",{number}' for number, text in enumerate(TEXTS)]
    (folder / "rows.csv").write_text("\n".join(["text,n", *rows]) + "\n", encoding="utf-8")
    write_spans(folder, TEXTS)
    model = ("--model", small_model, "--store", "store", "--site", "resid")
    done = commands.run(
        folder, "extract", "rows.csv", *model, "--name", "it", "--labels", "pos.csv"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(extracted, tmp_path):
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_labels_reach_datasets_exports_and_show(folder, actlas):
    run = Store(folder / "store").run("it")
    found = labelled(run)
    assert {(text.strip(), label) for _, text, label in found} >= {("her", "PRON")}
    assert any(text == " her" for _, text, _ in found)  # the span is of the word alone
    assert (
        "labels     version 1: n, of tokens pos" in actlas("show", "it", "--store", "store").stdout
    )
    record = json.loads(actlas("show", "it", "--store", "store", "--json").stdout)["labels"]
    assert (record["columns"], record["token_columns"]) == (["n"], ["pos"])
    options = ("--store", "store", "--target", "her", "--context", 1)
    assert actlas("export", "it", "out.h5", *options).returncode == 0
    kept = Exported(folder / "out.h5")
    assert {label for _, text, label in labelled(kept) if "her" in text} == {"PRON"}
    assert actlas("verify", "out.h5").returncode == 0
    norms = actlas("norms", "it", "--store", "store", "--group", "pronoun=pos:PRON", "--json")
    assert json.loads(norms.stdout)["tokens"]["pronoun"] >= 2


def test_labels_are_replaced_and_kept_apart(folder, actlas):
    run = Store(folder / "store").run("it")
    before = labelled(run)
    (folder / "rows.csv").write_text((folder / "rows.csv").read_text().replace("text,n", "text,m"))
    assert "m added; n removed" in actlas("relabel", "it", "rows.csv", "--store", "store").stdout
    assert labelled(Store(folder / "store").run("it")) == before
    write_spans(folder, TEXTS, [("her", "OTHER")])
    words = ("relabel", "it", "--labels", "pos.csv", "--store", "store")
    assert "would become version 3" in actlas(*words, "--dry-run").stdout
    assert "labels of it are now version 3" in actlas(*words).stdout
    run = Store(folder / "store").run("it")
    assert {label for *_, label in labelled(run)} == {"OTHER"}
    assert run.columns.keys() == {"m"}
    assert "has these labels already: version 3" in actlas(*words).stdout
    (folder / "pos.csv").write_text("sentence,char_start,char_end\n")
    assert "pos removed" in actlas(*words).stdout
    assert actlas("verify", "it", "--store", "store").returncode == 0


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (
            "sentence,char_start,char_end,pos\n0,0,4,A\n0,30,99,B\n",
            1,
            "pos.csv, line 3: char_end 99",
        ),
        (
            "sentence,char_start,char_end,pos\n5,0,4,A\n",
            1,
            "line 2: sentence 5, expected one from 0",
        ),
        ("sentence,char_start,char_end,n\n0,0,4,A\n", 1, "'n' is of sentences and of tokens"),
        ("sentence,char_start,char_end,position\n", 1, "a label cannot be called 'position'"),
        (None, 2, "labels file pos.csv does not exist"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line_and_nothing_is_stored(
    content, code, message, folder, actlas
):
    (folder / "pos.csv").unlink()
    if content is not None:
        (folder / "pos.csv").write_text(content)
    done = actlas("relabel", "it", "--labels", "pos.csv", "--store", "store")
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert message in done.stderr
    assert Store(folder / "store").run("it").labels_version == 1
    done = actlas("relabel", "it", "--store", "store")
    assert (done.returncode, "give FILE" in done.stderr) == (2, True)


@pytest.mark.slow
def test_windows_of_long_texts_in_a_study_and_their_labels(folder, small_model, actlas):
    texts = [TEXTS[0], LONG]
    (folder / "long.csv").write_text(f'text,kind\n"{TEXTS[0]}",a\n"{LONG}",b\n')
    write_spans(folder, texts)
    (folder / "s.toml").write_text(STUDY.replace("MODEL", str(small_model)))
    done = actlas("study", "run", "s.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 texts are cut into" in done.stderr
    run = Store(folder / "actlas-s/store").runs()[0]
    data = run.dataset("resid")
    assert set(data["kind"].values[data["text_index"].values == 1]) == {"b"}
    assert set(data["window"].values) > {0, 1}
    words = {label: word for word, label in POS}
    for _, text, label in labelled(run):
        assert text.strip() in words[label]  # a token may be a part of it
    table = 'text,kind\n"{}",{}\n"{}",d\n'
    (folder / "long.csv").write_text(table.format(TEXTS[0], "c", LONG))
    again = ("relabel", run.id, "long.csv", "--store", "actlas-s/store")
    assert "kind changed" in actlas(*again).stdout
    new = Store(folder / "actlas-s/store").run(run.id)
    assert set(new.columns["kind"]) == {"c", "d"}
    assert labelled(new) == labelled(run)
    (folder / "long.csv").write_text(table.format(TEXTS[0], "c", LONG.replace("rain", "snow")))
    done = actlas(*again)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "long.csv, line 3: expected the 2 texts that the windows of run" in done.stderr


def test_a_stride_alone_is_refused(folder, actlas):
    done = actlas("extract", "rows.csv", "--store", "store", "--stride", "3")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--stride is of the windows" in done.stderr
    (folder / "s.toml").write_text(STUDY.replace("window = 40\n", ""))
    done = actlas("study", "check", "s.toml")
    assert (done.returncode, "[runs.it]: --stride is of" in done.stderr) == (2, True)
