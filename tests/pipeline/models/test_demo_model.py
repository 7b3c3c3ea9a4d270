"""The shipped demo model is what its card says.

The shipped sentences are what study 1 needs.
"""

import json
import re
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

import actlas.pipeline
from actlas.scripts.dev.demo_grammar import sentences
from actlas.scripts.dev.train_demo_model import TrainingOptions, main, make

FOLDER = Path(actlas.pipeline.__path__[0])
MODEL = FOLDER / "demo_model"
HER = re.compile(r"\bher\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def card():
    return (MODEL / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def model():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(MODEL, use_safetensors=True).eval()


@pytest.fixture(scope="module")
def her_sentences():
    return (FOLDER / "texts" / "her.txt").read_text(encoding="utf-8").splitlines()


def test_folder_holds_the_model_and_nothing_else():
    names = {path.name for path in MODEL.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 5_000_000


def test_model_is_the_gpt2_of_the_card(model, card):
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert model.lm_head.weight is model.transformer.wte.weight
    assert f"{model.num_parameters():,} parameters" in card


def test_tokenizer_splits_like_gpt2(tokenizer):
    text = "Tom gave her the cup, didn't he?"
    encoded = tokenizer(text, return_offsets_mapping=True)
    pieces = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert tokenizer.decode(encoded["input_ids"]) == text == "".join(pieces)
    assert " her" in pieces


def test_tokenizer_knows_every_byte_and_one_special_token(tokenizer):
    assert tokenizer.decode(tokenizer("naïve → 水\t😀")["input_ids"]) == "naïve → 水\t😀"
    assert tokenizer("<|endoftext|>")["input_ids"] == [tokenizer.eos_token_id] == [0]


def test_her_is_one_token(tokenizer):
    assert len(tokenizer(" her")["input_ids"]) == 1


@pytest.mark.slow
def test_remaking_gives_the_same_files_and_tokenizer(tmp_path):
    torch = pytest.importorskip("torch")
    options = TrainingOptions(steps=1, heldout_sentences=3, threads=torch.get_num_threads())
    loss, _ = make(options, tmp_path)
    assert 6 < loss < 8  # one step from random weights: about log(vocabulary)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in MODEL.iterdir()}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((MODEL / name).read_text())


def test_command_explains_itself_and_refuses_the_heldout_seed(tmp_path):
    assert "demo model" in CliRunner().invoke(main, ["--help"]).output
    refused = CliRunner().invoke(
        main, ["--out", str(tmp_path / "out"), "--seed", str(TrainingOptions.heldout_seed)]
    )
    assert refused.exit_code == 2
    assert "held-out text" in refused.output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_heldout_loss_is_the_one_on_the_card(model, tokenizer, card):
    torch = pytest.importorskip("torch")
    stated = float(re.search(r"held-out loss \(nats per token\) \| ([\d.]+) \|", card)[1])
    losses = []
    with torch.inference_mode():
        for text in islice(sentences(987_654_321), 400):
            ids = torch.tensor(tokenizer(text)["input_ids"])
            # (token, vocabulary)
            log_p = model(ids[None], use_cache=False).logits[0, :-1].log_softmax(-1)
            losses.append(-log_p[torch.arange(len(ids) - 1), ids[1:]])
    # 5,000 tokens of a spread of about 1.3 nats: one standard error is 0.02
    assert torch.cat(losses).mean().item() == pytest.approx(stated, abs=0.08)


def test_there_are_54_different_sentences(her_sentences):
    assert len(her_sentences) == len(set(her_sentences)) == 54


def test_lengths_cover_5_to_25_words(her_sentences):
    assert {len(text.split()) for text in her_sentences} == set(range(5, 26))


def test_her_stands_once_in_each_and_lower_case(her_sentences):
    assert [HER.findall(text) for text in her_sentences] == [["her"]] * 54


def test_her_stands_early_in_the_middle_and_late(her_sentences):
    where = [len(text[: HER.search(text).start()]) / len(text) for text in her_sentences]
    thirds = [sum(low <= place < low + 1 / 3 for place in where) for low in (0, 1 / 3, 2 / 3)]
    assert min(thirds) >= 8


def test_words_around_her_are_diverse(her_sentences):
    before = {re.search(r"(\w+),? her\b", text)[1] for text in her_sentences}
    after = {re.search(r"\bher\W+(\w*)", text)[1] for text in her_sentences}
    first = {text.split()[0] for text in her_sentences}
    assert len(before) > 40
    assert len(after) > 35
    assert len(first) > 35


def test_her_has_two_tokens_before_it(tokenizer, her_sentences):
    her = tokenizer(" her")["input_ids"][0]
    assert all(tokenizer(text)["input_ids"].index(her) >= 2 for text in her_sentences)
