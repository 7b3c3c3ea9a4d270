"""Ids and offsets are those of ``AutoTokenizer.from_pretrained(folder)``, whatever its files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actlas.pipeline.inputs.tokenizer import PROGRAM, open_tokenizer
from actlas.store.errors import UsageError
from tests.pipeline.inputs.special_folders import SPECIAL_FOLDERS
from tests.pipeline.inputs.tokenizer_folders import FOLDERS, added_tokens, plain
from tests.pipeline.inputs.trained_tokenizers import CORPUS, SPECIAL, write

ALL_FOLDERS = FOLDERS | SPECIAL_FOLDERS

NASTY = (
    *CORPUS,
    *(
        " her",
        "her",
        "  her  ",
        "\ther\nher\r\n",
        "x <|user|> y<|user|>",
        f"{SPECIAL} a{SPECIAL}b",
        "her garden  her garden",
    ),
    *(
        "cafe\u0301",
        "e\u0301\u0327",
        "\u0301",
        "ﬁ①™㌔ſß",
        "İıI",
        "한국어 \u1112\u1161\u11ab",
        "👩‍👩‍👧🇩🇪",
        "𝒜𠀀",
        "\u200d\u200b\ufeff\u00ad",
    ),
    *(
        "שלום עולם",
        "مرحبا",
        "สวัสดีครับ",
        "▁her ▁",
        "Ġher",
        "<s>a</s><unk>",
        "[CLS] her [MASK]",
        "a <mask>. [MASK][MASK]</s>",
        "<|begin_of_text|>her<|end_of_text|>",
        "Mary [X] Maryland",
        "\x00\x01\x7f",
    ),
    *(
        "a" * 400,
        "\u00a0her\u2003her",
        "I'm you'll",
        "¼ ½",
        "한" * 20,
        "https://x.y/z?q=1&r=2",
        "",
        " ",
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each folder, and both tokenizers of it, by name."""
    root = tmp_path_factory.mktemp("tokenizers")
    for name, make in ALL_FOLDERS.items():
        make(root / name)
    return root


def reference(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def expected(tokenizer, texts, **options):
    """Ids and offsets by transformers, as nested lists; by default as it gives them by default."""
    result = tokenizer(list(texts), return_offsets_mapping=True, **options)
    return result["input_ids"], [
        [list(span) for span in spans] for spans in result["offset_mapping"]
    ]


def got(tokenizer, texts, **options):
    """Ids and offsets by actlas, as nested lists."""
    encoded = tokenizer.encode(texts, **options)
    ends = np.cumsum(encoded.row_size)[:-1]
    return [
        [part.tolist() for part in np.split(values, ends)]
        for values in (encoded.ids, encoded.spans)
    ]


@pytest.mark.parametrize("name", ALL_FOLDERS)
def test_ids_and_offsets_are_those_of_auto_tokenizer(made, cache, name):
    wanted = reference(made / name)
    for _ in ("asked of transformers", "remembered"):
        with open_tokenizer(made / name, str(made / name)) as tokenizer:
            ids, spans = got(tokenizer, NASTY)
            plain_ids, plain_spans = got(tokenizer, NASTY, special=False)
        assert ids == expected(wanted, NASTY)[0]
        assert spans == expected(wanted, NASTY)[1]
        assert plain_ids == expected(wanted, NASTY, add_special_tokens=False)[0]
        assert plain_spans == expected(wanted, NASTY, add_special_tokens=False)[1]
        bos = tokenizer.bos
        assert (bos.id if bos else None) == wanted.bos_token_id
    assert list(cache.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *("added_tokens_decoder", "word_piece", "unigram", "llama", "compatibility_forms"),
        *("bert", "roberta", "llama_3", "gemma", "two_in_front"),
    ],
)
def test_any_text_at_all(made, name):
    wanted = reference(made / name)
    alphabet = st.one_of(st.sampled_from("".join(CORPUS)), st.characters(exclude_categories=["Cs"]))
    with open_tokenizer(made / name, str(made / name)) as tokenizer:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.text(alphabet, max_size=40), min_size=1, max_size=5))
        def check(texts):
            assert tuple(got(tokenizer, texts)) == expected(wanted, texts)

        check()


@pytest.mark.slow
def test_folders_differ(made):
    """Else the tests above would show nothing of what the files say."""
    ids = {}
    for name in ALL_FOLDERS:
        with open_tokenizer(made / name, str(made / name)) as tokenizer:
            ids[name] = json.dumps([got(tokenizer, NASTY), tokenizer.bos])
    assert len(set(ids.values())) >= 21


@pytest.mark.slow
def test_every_file_that_decides_ids_is_in_the_digest(tmp_path):
    added_tokens(tmp_path)
    write(tmp_path, "tokenizer_config.json", {})
    digests = set()
    for name in (
        "README.md",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ):
        with open_tokenizer(tmp_path, "x") as tokenizer:
            digests.add(tokenizer.digest)
        path = tmp_path / name
        path.write_text(
            path.read_text().replace("0.2", "0.1") + " " * (name != "merges.txt")
            if path.exists()
            else "x"
        )
    assert len(digests) == 5  # all but README.md: the last file is changed after the last look


@pytest.mark.slow
def test_a_file_that_changes_is_not_answered_from_the_cache(tmp_path):
    added_tokens(tmp_path)
    with open_tokenizer(tmp_path, "x") as tokenizer:
        before = got(tokenizer, ["<|user|> her"])[0]
    (tmp_path / "added_tokens.json").unlink()
    with open_tokenizer(tmp_path, "x") as tokenizer:
        after = got(tokenizer, ["<|user|> her"])[0]
    assert len(after[0]) > len(before[0])


def test_a_damaged_cache_is_not_believed(made, cache):
    with open_tokenizer(made / "plain", "x") as tokenizer:
        wanted = got(tokenizer, NASTY)
    for path in cache.iterdir():
        content = path.read_bytes()
        path.write_bytes(content.replace(b"her", b"hex"))
    with open_tokenizer(made / "plain", "x") as tokenizer:
        assert got(tokenizer, NASTY) == wanted


def test_a_cache_that_cannot_be_written_costs_time_alone(made, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with open_tokenizer(made / "plain", "x") as tokenizer:
        assert tokenizer.encode(["her"]).ids.size


def test_torch_is_never_imported(made):
    """Neither here nor in the process that asks transformers."""
    code = (
        "import sys; from pathlib import Path; from actlas.pipeline.inputs.tokenizer import "
        "open_tokenizer\n"
        f"with open_tokenizer(Path({str(made / 'plain')!r}), 'x') as tokenizer: "
        f"tokenizer.encode(['her'])\n"
        "print([name for name in ('torch', 'transformers', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert '"torch"' in PROGRAM.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"version": "1.0"}', "[" * 100_000, '{"a":' * 100_000, "\x00"]
)
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_files_that_are_none(tmp_path, name, content):
    plain(tmp_path)
    write(tmp_path, name, content)
    try:
        with open_tokenizer(tmp_path, str(tmp_path)) as tokenizer:
            ids = got(tokenizer, NASTY)
    except UsageError as error:
        assert "the tokenizer cannot be used" in str(error)
    else:
        # such as a tokenizer_config.json of {"version": …}
        assert tuple(ids) == expected(reference(tmp_path), NASTY)
