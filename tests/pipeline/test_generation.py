"""Generated text: transformers' own answers, with labels that fit their characters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.edits.spec import parse_edit
from actlas.pipeline.extraction import loop
from actlas.pipeline.extraction.loop import extract
from actlas.pipeline.extraction.options import ExtractOptions
from actlas.pipeline.extraction.planning import make_plan, settled
from actlas.pipeline.generation.answers import Answers, GenerateOptions, _ends
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import load, resolve
from actlas.store import Store, UsageError
from actlas.store.labels.generated import Generated
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection
from tests.families.tiny import save_tiny

PROMPTS = ("We saw her", "Mary lost her key in", "Tom gave her", "Nobody in the village knew")
SITES = ("resid", "nll")


def answers_of(folder, how, texts=PROMPTS, **options):
    model = resolve(str(folder))
    prompts = tokenize(Sentences("test", tuple(texts), tuple(range(1, len(texts) + 1)), {}), model)
    wanted = ExtractOptions(SITES, by_default=SITES, **options)
    options = settled(wanted, model.architecture)
    return Answers(prompts, model, options, how)


def stored(store, answers, tokens):
    store = Store.create(store)
    plan = make_plan(store, answers.model, tokens, "test", answers.options)
    run = store.add(plan.specification, plan.description, plan.units)
    extract(plan, run)
    return store.run(run.id)


def extended(answers):
    return answers.generate(loop.load_for(answers.job))


def ids_of(tokenized):
    ends = np.cumsum(tokenized.labels.row_size)[:-1]
    return [ids.tolist() for ids in np.split(tokenized.labels.token["token_id"], ends)]


@pytest.fixture(scope="module", params=["gpt2", "llama", "llama-bos"])
def folder(request, small_model, tmp_path_factory):
    """Folder of a model that writes: learned positions, rotary ones, with a BOS token."""
    if request.param == "gpt2":
        return small_model
    return save_tiny(tmp_path_factory.mktemp(request.param) / "model", request.param)


def test_the_likeliest_answer_is_what_transformers_gives_each_prompt_alone(folder):
    import torch

    answers = answers_of(folder, GenerateOptions(7))
    found = extended(answers)
    model = load(answers.model, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    for prompt, ids in zip(ids_of(answers.prompts), ids_of(found), strict=True):
        given = torch.tensor([prompt])
        settings = {"max_new_tokens": 7, "do_sample": False, "eos_token_id": list(answers.ends)}
        whole = model.generate(
            given, attention_mask=torch.ones_like(given), pad_token_id=0, **settings
        )[0].tolist()
        written = whole[len(prompt) :]
        end = next((n for n, each in enumerate(written) if each in answers.ends), len(written))
        assert ids == prompt + written[:end]
    assert found.generated.prompt_tokens == tuple(answers.prompts.labels.row_size.tolist())


def test_characters_of_answers_are_those_of_their_texts(folder):
    found = extended(answers_of(folder, GenerateOptions(9, temperature=3.0))).labels
    for number, text in enumerate(found.text):
        assert text.startswith(PROMPTS[number])
        here = found.token["sentence"] == number
        starts, ends = (found.token[f"char_{edge}"][here].tolist() for edge in ("start", "end"))
        assert max(ends) == len(text)
        assert all(0 <= start <= end <= len(text) for start, end in zip(starts, ends, strict=True))
        assert starts == sorted(starts)
        covered = {at for each in zip(starts, ends, strict=True) for at in range(*each)}
        blank = {at for at, character in enumerate(text) if character == " "}
        assert covered | blank == set(range(len(text)))


def test_what_is_drawn_follows_from_seed_and_prompt_alone(small_model):
    drawn = GenerateOptions(6, temperature=1.5, seed=3)
    whole = ids_of(extended(answers_of(small_model, drawn)))
    assert ids_of(extended(answers_of(small_model, drawn, unit_tokens=1))) == whole
    assert ids_of(extended(answers_of(small_model, drawn, texts=PROMPTS[:2]))) == whole[:2]
    assert ids_of(extended(answers_of(small_model, replace(drawn, seed=4)))) != whole
    cold = ids_of(extended(answers_of(small_model, replace(drawn, temperature=1e-4))))
    assert cold == ids_of(extended(answers_of(small_model, GenerateOptions(6))))


def test_a_run_of_answers_says_which_tokens_they_are_and_answers_again(
    small_model, tmp_path, monkeypatch
):
    answers = answers_of(small_model, GenerateOptions(4))
    assert answers.stored(Store.create(tmp_path / "store")) is None
    tokens = extended(answers)
    run = stored(tmp_path / "store", answers, tokens)
    dataset, sentences = run.dataset(), run.sentence_labels()
    counts = sentences["prompt_tokens"].values
    assert counts.tolist() == answers.prompts.labels.row_size.tolist()
    expected = dataset["position"].values >= counts[dataset["sentence"].values]
    np.testing.assert_array_equal(dataset["generated"], expected)
    # the same question is answered without the model; another one is not
    monkeypatch.setattr(loop, "load_for", None)
    again = answers_of(small_model, GenerateOptions(4)).stored(Store(tmp_path / "store"))
    assert ids_of(again) == ids_of(tokens)
    assert again.labels.text == tokens.labels.text
    for other in (GenerateOptions(5), GenerateOptions(4, temperature=1.0)):
        assert answers_of(small_model, other).stored(Store(tmp_path / "store")) is None
    # of an export with the last sentences alone, sentences have other numbers
    kept = np.flatnonzero(dataset["sentence"].values >= 2)
    part, _ = export(run, tmp_path / "part.h5", Selection(tokens=kept))
    np.testing.assert_array_equal(part.dataset()["generated"], expected[kept])


def test_the_same_tokens_as_sentences_of_their_own_are_another_matter(small_model, tmp_path):
    answers = answers_of(small_model, GenerateOptions(4))
    tokens = extended(answers)
    run = stored(tmp_path / "store", answers, replace(tokens, generated=None))
    assert "generated" not in run.dataset().coords
    with pytest.raises(UsageError, match="has the same tokens, but not as prompts"):
        make_plan(Store(tmp_path / "store"), answers.model, tokens, "test", answers.options)


@pytest.mark.parametrize(
    ("tokens", "options", "said"),
    [
        (85, {}, "has 90 positions for both"),
        (4, {"edits": (parse_edit("skip:layer=1"),)}, "--edit is not in force"),
        (4, {"dropout_seed": 0}, "--train-mode is not in force"),
    ],
)
def test_what_cannot_be_generated_is_refused(tokens, options, said, small_model):
    with pytest.raises(UsageError, match=said):
        answers_of(small_model, GenerateOptions(tokens), **options)


def test_encoders_and_settings_that_mean_nothing_are_refused(tmp_path):
    encoder = save_tiny(tmp_path / "bert", "bert")
    with pytest.raises(UsageError, match="sees both sides of a token and generates no text"):
        answers_of(encoder, GenerateOptions(4))
    for wrong in ({"tokens": 0}, {"tokens": 3, "temperature": 0.0}):
        with pytest.raises(UsageError, match="expected"):
            GenerateOptions(**wrong)


@given(
    prompt=st.text(st.sampled_from("ab 日é"), min_size=1, max_size=4),
    answer=st.text(st.sampled_from("xy 本ü🙂"), max_size=5),
)
def test_characters_are_counted_where_tokens_are_bytes(prompt, answer):
    """Each byte a token: prefixes end in half characters, as a decoder writes them."""
    raw = answer.encode()
    prefixes = []
    for end in range(len(raw) + 1):
        prefixes.append(prompt + raw[:end].decode(errors="replace"))
    text, ends = _ends(prompt, prefixes)
    assert text == prompt + answer
    whole = [len(prompt) + len(raw[:end].decode(errors="ignore")) for end in range(len(raw) + 1)]
    assert ends == whole


def test_a_record_of_answers_is_read_as_it_was_written():
    record = Generated("0" * 32, {"tokens": 3, "temperature": None}, (2, 5))
    from actlas.store.labels.generated import generated_of

    assert generated_of({"generated": record.to_json()}) == record
