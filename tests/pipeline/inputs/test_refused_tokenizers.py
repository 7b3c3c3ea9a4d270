"""Tokenizers that cannot be read, would run code or never end are refused in one line."""

import shutil

import pytest

from actlas.pipeline.inputs.tokenizer import open_tokenizer
from actlas.store.errors import UsageError
from tests.pipeline.inputs.tokenizer_folders import plain
from tests.pipeline.inputs.trained_tokenizers import byte_level, save, write


def refused(folder, texts=("her",)):
    with pytest.raises(UsageError) as caught, open_tokenizer(folder, str(folder)) as tokenizer:
        tokenizer.encode(texts)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_folder_without_tokenizer(tmp_path):
    write(tmp_path, "config.json", {"model_type": "gpt2"})
    assert "has no tokenizer: expected tokenizer.json" in refused(tmp_path)


def test_files_that_are_no_files(tmp_path):
    import os

    plain(tmp_path)
    (tmp_path / "tokenizer_config.json").symlink_to("/dev/zero")
    assert "is not a regular file" in refused(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    os.mkfifo(tmp_path / "added_tokens.json")
    assert "is not a regular file" in refused(tmp_path)


def test_a_file_of_the_size_of_a_disk(tmp_path):
    plain(tmp_path)
    with (tmp_path / "vocab.json").open("wb") as file:
        file.truncate(1 << 40)
    assert "expected at most" in refused(tmp_path)


@pytest.mark.parametrize("key", ["tokenizer_file", "fast_tokenizer_files"])
def test_settings_that_name_a_file_elsewhere(tmp_path, key):
    other = tmp_path / "other"
    save(other, byte_level(add_prefix_space=True))
    shutil.copy(other / "tokenizer.json", other / "tokenizer.4.0.0.json")
    value = str(other / "tokenizer.4.0.0.json")
    named = {key: value if key.endswith("file") else [value]}
    save(tmp_path / "one", byte_level(), tokenizer_class="PreTrainedTokenizerFast", **named)
    assert "names a file outside the folder" in refused(tmp_path / "one")


def test_remote_code_is_refused(tmp_path):
    auto_map = {"AutoTokenizer": ["code.Slow", "code.Fast"]}
    save(
        tmp_path,
        byte_level(),
        {"model_type": "unheard-of"},
        auto_map=auto_map,
        tokenizer_class="Mine",
    )
    write(tmp_path, "code.py", "raise SystemExit('ran')")
    assert "the tokenizer cannot be used" in refused(tmp_path)


def test_python_only_class_is_refused_with_a_remedy(tmp_path):
    write(tmp_path, "config.json", {"model_type": "ctrl"})
    write(
        tmp_path,
        "tokenizer_config.json",
        {"tokenizer_class": "CTRLTokenizer", "unk_token": "<unk>"},
    )
    write(tmp_path, "vocab.json", {"<unk>": 0, "her</w>": 1, "h": 2, "e": 3, "r</w>": 4})
    write(tmp_path, "merges.txt", "#version: 0.2\nh e\nhe r</w>\n")
    message = refused(tmp_path)
    assert "not a fast tokenizer" in message
    assert "save_pretrained" in message


def test_dropout_is_refused(tmp_path):
    tokenizer = byte_level()
    tokenizer.model.dropout = 0.5
    save(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    assert "dropout" in refused(tmp_path)


def normaliser_bomb(tokenizer):
    from tokenizers import normalizers

    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("e", "e" * 1000)] * 4)


def slow_bomb(tokenizer):
    """Every text takes long, none takes much memory."""
    from tokenizers import normalizers

    steps = [normalizers.Replace("e", "e" * 3000), normalizers.Replace("e" * 3000, "e")]
    tokenizer.normalizer = normalizers.Sequence(steps * 1000)


def regex_bomb(tokenizer):
    from tokenizers import Regex, pre_tokenizers

    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa|aaa)+$|((a+)+)+b|b"), "isolated")


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [normaliser_bomb, slow_bomb, regex_bomb])
def test_bombs_end_within_seconds(tmp_path, bomb):
    tokenizer = byte_level()
    bomb(tokenizer)
    save(tmp_path, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    message = refused(tmp_path, ["here we are" * 500 + "a" * 5000 + "c"])
    assert "the tokenizer" in message
