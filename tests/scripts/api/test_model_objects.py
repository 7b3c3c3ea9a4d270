"""A model in memory: known by its state, refused where that would not do, left as it was."""

import copy

import numpy as np
import pytest
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import actlas
from tests.families.tiny import TINY, class_of, save_tiny
from tests.small_model import TEXTS, small_tokenizer

TINY_LLAMA = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 90,
}


def tokenizer():
    return PreTrainedTokenizerFast(tokenizer_object=small_tokenizer(), eos_token="<|endoftext|>")


def llama(**config):
    torch.manual_seed(0)
    sizes = {"vocab_size": small_tokenizer().get_vocab_size(), **TINY_LLAMA, **config}
    return LlamaForCausalLM(LlamaConfig(**sizes)).eval()


def traces(model):
    """Return all of a model that an extraction could leave changed."""
    modules = [
        (
            name,
            module.training,
            [*module._forward_hooks],
            [*module._forward_pre_hooks],
            sorted(vars(module)),
        )
        for name, module in model.named_modules()
    ]
    tensors = {name: (t.dtype, t.device, t.sum()) for name, t in model.state_dict().items()}
    return modules, tensors, model.config._attn_implementation, model.config.to_json_string()


@pytest.fixture
def extract(tmp_path):
    def run(model, **options):
        given = {"tokenizer": tokenizer(), "store": tmp_path / "store", "quiet": True}
        return actlas.extract(TEXTS, model, **{**given, **options})

    return run


def saved_tokenizer(folder):
    """Save it with its class: the one that a version has for Llama may add tokens of its own."""
    PreTrainedTokenizerFast(tokenizer_object=small_tokenizer()).save_pretrained(folder)


@pytest.mark.slow
def test_the_same_state_saved_is_the_same_run(extract, tmp_path):
    model = llama(pad_token_id=0)
    before, state = traces(model), torch.random.get_rng_state()
    run = extract(model, edits="zero:site=z,layer=1,head=0")
    assert traces(model) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert run.name.startswith("texts-llama.zero-")
    model.save_pretrained(tmp_path / "saved")
    saved_tokenizer(tmp_path / "saved")
    again = extract(tmp_path / "saved", tokenizer=None, cached_only=True)
    assert again.id == run.baseline.id
    other = extract(tmp_path / "saved", tokenizer=None, store=tmp_path / "other")
    for site in ("resid", "q", "nll"):
        stored = [each.dataset(site)[site].values for each in (run.baseline, other)]
        np.testing.assert_array_equal(*stored)


def test_the_demo_model_from_memory_is_that_of_its_folder(tmp_path):
    from actlas.pipeline.models.folder import DEMO_FOLDER

    model = transformers.AutoModelForCausalLM.from_pretrained(DEMO_FOLDER)
    of_model = transformers.AutoTokenizer.from_pretrained(DEMO_FOLDER)
    options = {"sites": "nll", "store": tmp_path / "store", "quiet": True}
    run = actlas.extract(TEXTS, model, tokenizer=of_model, **options)
    assert actlas.extract(TEXTS, "demo", cached_only=True, **options).id == run.id


def test_it_is_left_as_it_was_after_an_error_too(extract, monkeypatch):
    model, calls = llama(attention_dropout=0.1), []
    before = traces(model)

    def broken(*_):
        calls.append(1)
        raise actlas.StoreError("the disk is full")

    monkeypatch.setattr("actlas.pipeline.extraction.forward.Extractor._attempt", broken)
    with pytest.raises(actlas.StoreError, match="the disk is full"):
        extract(model, dropout_seed=3)
    assert calls
    assert traces(model) == before


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)]
)
def test_the_dtype_is_the_models(extract, tmp_path, dtype):
    llama().to(dtype).save_pretrained(tmp_path / "saved")
    model = LlamaForCausalLM.from_pretrained(tmp_path / "saved", dtype=dtype).eval()
    name = str(dtype).removeprefix("torch.")
    run = extract(model, sites="resid")
    assert run.specification["numerics"]["dtype"] == name
    assert extract(model, sites="resid", dtype=dtype, cached_only=True).id == run.id
    saved_tokenizer(tmp_path / "saved")
    options = {"tokenizer": None, "sites": "resid", "cached_only": True}
    assert extract(tmp_path / "saved", dtype=name, **options).id == run.id
    with pytest.raises(actlas.UsageError, match=f"the model given has '{name}': leave it out"):
        extract(model, dtype="float32")


def half(model):
    """Angles are rounded with the weights: what from_pretrained in that dtype does not do."""
    model.to(torch.float16)


def mixed(model):
    model.lm_head.to(torch.bfloat16)


def not_a_number(model):
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan


def set_config(**values):
    return lambda model: [setattr(model.config, name, value) for name, value in values.items()]


CHANGED = {
    "train": (lambda model: model.model.layers[0].train(), "is in train mode"),
    "hook": (lambda model: model.model.norm.register_forward_hook(print), "hooks .* model.norm"),
    "forward": (lambda model: setattr(model.model, "forward", print), "another forward on model"),
    "mixed": (mixed, "weights in bfloat16 and float32, expected one of"),
    "half": (half, "values or dtype of model.rotary_emb.*inv_freq"),
    "double": (lambda model: model.double(), "weights in float64"),
    "nan": (not_a_number, "tensor lm_head.weight holds 1 values that are NaN"),
    "layer": (lambda model: model.model.layers.pop(1), "module model.layers.1"),
    "setting": (lambda model: setattr(model.model.norm, "variance_epsilon", 0.1), "model.norm"),
    "attention": (set_config(_attn_implementation="flash_attention_2"), "has attention 'flash"),
    "outputs": (set_config(output_hidden_states=True), "config.output_hidden_states = True"),
    "quantised": (set_config(quantization_config={"bits": 4}), "quantization_config is not"),
    "meta": (lambda model: model.to("meta"), "is on the device meta"),
    "adapter": (lambda model: setattr(model, "_hf_peft_config_loaded", True), "has an adapter"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_model_that_would_compute_something_else_is_refused(extract, tmp_path, name):
    change, message = CHANGED[name]
    model = llama()
    change(model)
    before = traces(model) if name not in ("meta", "nan") else None
    with pytest.raises(actlas.UsageError, match=message) as raised:
        extract(model)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "store").exists()
    if before is not None:
        assert traces(model) == before


def test_what_is_no_model_or_has_no_tokenizer(extract):
    for model, options, message in (
        (7, {}, "model is a int, expected a name, a folder"),
        (llama(), {"tokenizer": None}, "has no tokenizer"),
        (llama(), {"tokenizer": 7}, "tokenizer is a int"),
        (llama().model, {}, "is a LlamaModel, expected a LlamaForCausalLM"),
        (llama(), {"device": "cuda"}, "device is 'cuda', but the model given has 'cpu'"),
        (llama(), {"attention": "eager"}, "attention is 'eager', but"),
        (llama(), {"workers": 2}, "in this process alone"),
        (llama(), {"revision": "main"}, "has no revision"),
        (llama(vocab_size=20), {}, "expected ids below 20"),
    ):
        with pytest.raises(actlas.UsageError, match=message):
            extract(model, **options)


def test_a_tokenizer_that_saves_something_else_is_refused(extract):
    class Upper(PreTrainedTokenizerFast):
        def __call__(self, texts, **options):
            return super().__call__([text.upper() for text in texts], **options)

    other = Upper(tokenizer_object=small_tokenizer(), eos_token="<|endoftext|>")
    # transformers 4 cannot read a class of its user's from the folder at all
    refused = r"has other ids for 'Mary lost her key|tokenizer cannot be used"
    with pytest.raises(actlas.UsageError, match=refused):
        extract(llama(), tokenizer=other)


def test_changed_weights_are_another_run(extract):
    model = llama()
    first = extract(model, sites="nll")
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.model.norm.weight[3] += 0.5
    assert extract(changed, sites="nll").id != first.id
    assert extract(model, sites="nll", cached_only=True).id == first.id


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt_neox", "gptj", "gpt_neo", "qwen3", "gemma2", "gemma3_text"])
def test_other_families_as_transformers_load_them(name, tmp_path):
    folder = save_tiny(tmp_path / "model", name)
    kind = getattr(transformers, class_of(TINY[name]["model_type"]))
    model = kind.from_pretrained(folder).eval()
    of_model = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    options = {"sites": "resid", "store": tmp_path / "store", "quiet": True}
    attention = model.config._attn_implementation
    run = actlas.extract(TEXTS, model, tokenizer=of_model, **options)
    stored = actlas.extract(TEXTS, folder, attention=attention, cached_only=True, **options)
    assert run.id == stored.id


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_the_encoder_of_a_masked_model(name, tmp_path):
    folder = save_tiny(tmp_path / "model", name)
    whole = getattr(transformers, class_of(TINY[name]["model_type"])).from_pretrained(folder).eval()
    of_model = transformers.AutoTokenizer.from_pretrained(folder)
    options = {"sites": "resid", "store": tmp_path / "store", "quiet": True}
    with pytest.raises(actlas.UsageError, match="made with add_pooling_layer=False, or its folder"):
        actlas.extract(TEXTS, whole, tokenizer=of_model, **options)
    run = actlas.extract(TEXTS, getattr(whole, name), tokenizer=of_model, **options)
    getattr(whole, name).save_pretrained(tmp_path / "saved")
    of_model.save_pretrained(tmp_path / "saved")
    assert actlas.extract(TEXTS, tmp_path / "saved", cached_only=True, **options).id == run.id
