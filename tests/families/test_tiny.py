"""The tiny folders: the same every time, with tokenizers that fit."""

import json
from copy import deepcopy

import pytest
from tokenizers import Tokenizer

from tests.families.tiny import TINY, save_tiny
from tests.small_model import TEXTS

ENDS = {
    "llama-bos": ("<|endoftext|>", None),
    "bert": ("[CLS]", "[SEP]"),
    "roberta": ("<s>", "</s>"),
}


@pytest.mark.parametrize("name", ["llama-linear-rope", "gemma3", "bert-pretraining", "gptj"])
def test_saving_twice(name, tmp_path):
    before = deepcopy(TINY)
    first, second = (save_tiny(tmp_path / folder, name) for folder in ("first", "second"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    written = json.loads((first / "config.json").read_text())
    assert written.keys() - before[name].keys() == {"architectures", "torch_dtype"}
    assert before == TINY


@pytest.mark.parametrize("name", ["llama", *ENDS])
def test_tokenizer(name, tmp_path):
    folder = save_tiny(tmp_path, name)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin, end = ENDS.get(name, (None, None))
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        assert max(encoding.ids) < TINY[name]["vocab_size"]
        if begin:
            assert encoding.tokens[0] == begin
        if end:
            assert encoding.tokens[-1] == end
        bare = tokenizer.encode(text, add_special_tokens=False)
        assert len(encoding) - len(bare) == bool(begin) + bool(end)
