"""The loss by tiles of the vocabulary, against a whole log-softmax in float64."""

import numpy as np
import pytest

from actlas.pipeline.extraction import loss
from actlas.pipeline.models.families.gemma.gemma2 import GEMMA2
from actlas.pipeline.models.families.gpt.gpt2 import GPT2
from actlas.pipeline.models.families.gpt.gptj import GPTJ

torch = pytest.importorskip("torch")
WORDS, WIDTH = 4500, 16  # two tiles and a part of a third
LENGTHS = (7, 1, 4)


def head_of(family):
    """Return a model whose head has random weights."""
    import transformers

    sizes = {
        "gpt2": {"n_embd": WIDTH, "n_layer": 1, "n_head": 2},
        "gptj": {"n_embd": WIDTH, "n_layer": 1, "n_head": 2, "rotary_dim": 4},
        "gemma2": {
            "hidden_size": WIDTH,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 4,
            "final_logit_softcapping": 3.0,
        },
    }[family.model_type]
    config = getattr(transformers, family.config_class)(vocab_size=WORDS, **sizes)
    model = family.class_of_model()(config).eval()
    head = model.get_output_embeddings()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(generator=generator)
    return model


def given(seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn((len(LENGTHS), max(LENGTHS), WIDTH), generator=generator)
    ids = torch.randint(WORDS, hidden.shape[:2], generator=generator)
    ids[0, 1:5] = torch.tensor([0, 2047, 2048, WORDS - 1])  # at the edges of tiles
    return hidden, ids


def whole(family, model, hidden, ids):
    """Return −log p of each token after the first, in float64, NaN elsewhere."""
    head = model.get_output_embeddings()
    logits = hidden.double().numpy() @ head.weight.detach().double().numpy().T
    if head.bias is not None:
        logits += head.bias.detach().double().numpy()
    if family.cap:
        cap = getattr(model.config, family.cap)
        logits = cap * np.tanh(logits / cap)
    with np.errstate(invalid="ignore"):
        logits -= logits.max(-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.full(ids.shape, np.nan)
    for row, length in enumerate(LENGTHS):
        for column in range(1, length):
            expected[row, column] = -log_p[row, column - 1, ids[row, column]]
    return expected


def computed(family, model, hidden, ids):
    with torch.inference_mode():
        return loss.token_loss(family, model, hidden, ids, LENGTHS).numpy()


@pytest.mark.parametrize("family", [GPT2, GPTJ, GEMMA2], ids=["plain", "bias", "soft cap"])
def test_is_that_of_a_whole_softmax(family):
    model, (hidden, ids) = head_of(family), given()
    expected = whole(family, model, hidden, ids)
    got = computed(family, model, hidden, ids)
    np.testing.assert_allclose(got, expected, rtol=2e-7, atol=2e-6)
    np.testing.assert_array_equal(got, computed(family, model, hidden, ids))


@pytest.mark.parametrize("word", [3, 2100, WORDS - 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize("size", [30.0, 3e4, -3e4])
def test_one_huge_logit_in_any_tile(word, size):
    model, (hidden, ids) = head_of(GPTJ), given()
    with torch.no_grad():
        model.lm_head.bias[word] = size
    ids[0, 2] = word
    expected = whole(GPTJ, model, hidden, ids)
    np.testing.assert_allclose(computed(GPTJ, model, hidden, ids), expected, rtol=3e-7, atol=2e-6)


@pytest.mark.parametrize("words", [slice(5, 6), slice(0, 2048), slice(2048, WORDS)])
def test_words_that_cannot_come(words):
    model, (hidden, ids) = head_of(GPTJ), given()
    with torch.no_grad():
        model.lm_head.bias[words] = -torch.inf
    expected = whole(GPTJ, model, hidden, ids)
    assert np.isinf(expected).any() == (words != slice(5, 6))  # of a target that cannot come
    np.testing.assert_allclose(computed(GPTJ, model, hidden, ids), expected, rtol=2e-7, atol=2e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_no_numbers_have_no_loss_and_harm_no_other(value):
    model, (hidden, ids) = head_of(GPT2), given()
    expected = whole(GPT2, model, hidden, ids)
    hidden[0, 2] = value
    expected[0, 3] = np.nan
    np.testing.assert_allclose(computed(GPT2, model, hidden, ids), expected, rtol=2e-7, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_what_the_model_gives_in_float32(dtype):
    model, (hidden, ids) = head_of(GPTJ).to(dtype), given()
    hidden = hidden.to(dtype)
    with torch.inference_mode():
        logits = model.lm_head(hidden).float()
        cross = torch.nn.functional.cross_entropy(logits[0, :6], ids[0, 1:7], reduction="none")
    np.testing.assert_allclose(computed(GPTJ, model, hidden, ids)[0, 1:7], cross, atol=4e-6)


def test_no_more_logits_exist_than_a_tile_of_them(monkeypatch):
    seen = []

    def logits(family, model, rows, words):
        seen.append((len(rows), words.stop - words.start))
        return GPT2.logits(model, rows, words)

    model, (hidden, ids) = head_of(GPT2), given()
    once = computed(GPT2, model, hidden, ids)
    monkeypatch.setattr(loss, "LOSS_ROWS", 4)
    monkeypatch.setattr(loss, "VOCABULARY_TILE", 1000)
    watched = type("Watched", (type(GPT2),), {"logits": logits})
    fields = {name: getattr(GPT2, name) for name in GPT2.__dataclass_fields__}
    parts = computed(watched(**fields), model, hidden, ids)
    assert max(rows for rows, _ in seen) == 4
    assert max(words for _, words in seen) == 1000
    assert sum(rows * words for rows, words in seen) == (sum(LENGTHS) - len(LENGTHS)) * WORDS
    np.testing.assert_allclose(parts, once, rtol=2e-7, atol=2e-6)
