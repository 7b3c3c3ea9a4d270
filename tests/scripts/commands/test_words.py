"""Words of any script, from sentences to result, by the commands."""

import json

import pytest

SENTENCES = {
    "nfd": (
        "We met at the cafe\u0301 by the river.",
        "We met at the cafe by the river.",
        "They closed the cafe\u0301 after rain.",
    ),
    "hindi": ("मैं किताब पढ़ता हूँ", "वह कहता है कि किताब", "राम ने कहा कि वह आएगा"),
    "zh": ("他说她喝了她的茶。", "他说她给了她一杯茶。", "护士说她的杯子满了。"),
    "punct": ("She drank her tea, slowly.", "He gave her tea, gladly.", "We saw her tea, cold."),
    "poss": (
        "Now she can swim in it.",
        "Now she can't swim.",
        "Now she can’t go, it's cold.",
        "So we can go to it.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word", "pairs"),
    [
        *(
            ("nfd", "café", 2),
            ("nfd", "cafe", 1),
            ("hindi", "क", 0),
            ("hindi", "कि", 2),
            ("zh", "她", 3),
        ),
        *(("punct", ",", 3), ("punct", ".", 3), ("poss", "can", 2), ("poss", "it", 2)),
    ],
)
def test_words_of_any_script(actlas, small_model, tmp_path, name, word, pairs):
    (tmp_path / f"{name}.txt").write_text("\n".join(SENTENCES[name]), encoding="utf-8")
    extracted = actlas(
        "extract", f"{name}.txt", "--model", small_model, "--store", "store", "--name", name
    )
    assert extracted.returncode == 0, extracted.stderr
    done = actlas("variance", name, "--store", "store", "--target", word, "--json")
    if pairs < 2:  # of which there is no variance
        assert done.returncode == 1
        assert f"{pairs} pair" in done.stderr or "occurs in none" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert f"{pairs} pairs of {word!r}" in json.dumps(json.loads(done.stdout), ensure_ascii=False)


def test_an_answer_from_the_store_imports_no_torch(small_model, tmp_path):
    """Nor does it on the first look at a tokenizer: a process of its own asks transformers."""
    import subprocess
    import sys

    (tmp_path / "her.txt").write_text("We saw her.\nTom saw her.", encoding="utf-8")
    code = (
        "import sys; from actlas.scripts.cli import main\n"
        f"try: main(['extract', 'her.txt', '--model', {str(small_model)!r}, '--store', 'store', "
        "'--dry-run'])\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout
