"""Places where a model computes silently wrong numbers: each is right here, or refused.

| trap | what it is | shown by |
| --- | --- | --- |
| 1 | a folder of one version loses its rotary base in another | ``test_trap_1``, families (both) |
| 2 | blocks cut off from their list lose their kinds | ``test_trap_2``, edits (any depth) |
| 3 | Gemma 2: sdpa leaves the cap of the scores out | ``test_trap_3`` |
| 4 | Falcon with ALiBi counts it twice under eager | ``test_traps_4_and_6`` |
| 5 | angles by the longest sentence of a batch | ``test_trap_5`` |
| 6 | Falcon and OLMoE change a site in place | ``test_traps_4_and_6``, self-check (in place) |
| 7 | encoders see padding without a mask | ``test_trap_7``, families (every site) |
| 8 | blocks return tuples in some versions, in other orders | ``test_trap_8`` |
| 9 | ``hidden_states[-1]`` is normed in some types only | ``test_trap_9`` |
| 11 | a norm over all heads spreads the change of one | ``test_trap_11`` |
| 12 | a key head serves several query heads | ``test_trap_12`` |
| 13 | the stream after attention is read by two | edits (scales) |
| 14 | the head of GPT-NeoX has another name since version 5 | families (every site: nll) |
| 18 | rotary models run on behind their trained length | ``test_trap_18`` |

families: tests/pipeline/models/test_families.py; edits: test_family_edits.py beside it; self-check:
tests/pipeline/extraction/test_self_check.py.
"""

import json
import warnings

import numpy as np
import pytest
import torch

from actlas.pipeline.edits.grid import expand
from actlas.pipeline.extraction.forward import padded_ids
from actlas.pipeline.extraction.hooks import run_captured
from actlas.pipeline.inputs.sentences import Sentences
from actlas.pipeline.inputs.tokens import tokenize
from actlas.pipeline.models.folder import resolve
from actlas.pipeline.models.registry import FAMILIES
from actlas.store import UsageError
from actlas.store.errors import InputError
from tests.families.configs import TINY
from tests.families.spelling import spelled_5
from tests.families.tried import Tried

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LONG = ("Mary lost her key in the garden.", "her")


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = Tried(tmp_path_factory.mktemp(name), name, LONG)
        return made[name]

    return of


def of_type(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["gpt_neox", "llama-llama3-rope", "qwen3", "gemma3_text", "phi"])
def test_trap_1_the_installed_version_gets_the_base_in_the_spelling_it_reads(tmp_path, name):
    for spelled in (TINY[name], spelled_5(TINY[name])):
        model = of_type(tmp_path, spelled)
        config = model.family.configuration(model.effective, "eager")
        rope = getattr(config, "rope_parameters", None) or {}
        rope = rope.get("full_attention", rope)
        base = rope.get("rope_theta") or getattr(config, "rope_theta", None)
        assert (base or config.rotary_emb_base) == 500.0


def test_trap_2_a_pass_from_the_middle_keeps_the_kind_of_each_layer(tried):
    """Cutting the list of blocks is off by half of the logits in Gemma 2."""
    model = tried("gemma2")
    kinds = model.model.effective["layer_types"]
    assert len(set(kinds)) == 2
    loaded = model.loaded(model.plan())
    blocks = [getattr(block, "attention_type", None) for block in loaded.model.layers]
    model.variant(["zero:site=z,layer=1,head=0"])
    assert len(loaded.model.layers) == len(kinds)
    assert blocks == [getattr(block, "attention_type", None) for block in loaded.model.layers]


def test_trap_3_gemma2_is_run_with_eager_attention_alone(tried):
    model = tried("gemma2")
    assert model.plan(attention="auto").options.attention == "eager"
    with pytest.raises(UsageError, match="gemma2 is wrong with sdpa attention here: use --att"):
        model.plan(attention="sdpa")


@pytest.mark.parametrize("kind", ["falcon", "olmoe"])
def test_traps_4_and_6_families_that_nobody_checked_are_refused(tmp_path, kind):
    with pytest.raises(UsageError, match=f"is of type '{kind}', expected one of gpt2, "):
        of_type(tmp_path, {"model_type": kind, "alibi": True})


@pytest.mark.parametrize("kind", ["dynamic", "longrope", "su"])
@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters"])
def test_trap_5_angles_by_the_longest_sentence_are_refused(tmp_path, field, kind):
    model = of_type(tmp_path, {**TINY["llama"], field: {"rope_type": kind, "factor": 2.0}})
    with pytest.raises(UsageError, match=f"type '{kind}' depend on the longest sentence"):
        _ = model.effective


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_trap_7_without_its_mask_a_short_sentence_would_be_another(tried, name):
    """With it padded batches are the oracle's sentences alone: tests/pipeline/models."""
    model = tried(name)
    run, end = model.baseline, model.architecture.end()
    assert len(run.commits) == 1  # both sentences in one batch
    found = []
    ids = torch.from_numpy(padded_ids(next(model.everything()).labels))
    with torch.inference_mode():
        loaded = model.loaded(model.plan())
        run_captured(loaded, model.architecture, ids, end, lambda _, x: found.append(x))
    short = run.dataset()["resid"].values[-1][-int(run.labels.row_size[-1]) :]
    assert np.abs(found[0][-1][: len(short)].numpy() - short).max() > 0.1


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_trap_8_the_stream_is_read_where_blocks_get_it(family):
    assert family.rows["resid"].module == "{block}"
    assert family.rows["resid"].side == "in"
    assert family.last.side == ("in" if family.causal else "out")


@pytest.mark.parametrize("name", ["llama", "gpt_neo", "bert"])
def test_trap_9_the_last_depth_comes_before_the_norm(tried, name):
    model = tried(name)
    dataset = model.baseline.dataset()
    last = dataset["resid"].values[-1]
    wanted = np.concatenate([each["resid"][-1] for each in model.expected()])
    np.testing.assert_allclose(last, wanted, atol=1e-5 * np.abs(wanted).max())
    if "final_norm" in dataset:
        assert np.abs(dataset["final_norm"].values - last).max() > 0.1


def test_trap_11_a_head_is_edited_behind_the_norm_over_all_of_them(tried):
    architecture = tried("olmo2").architecture
    for site in "qk":
        with pytest.raises(UsageError, match=rf"would change all: expected site={site}_normed"):
            expand([f"zero:site={site},layer=1,head=0"], architecture)
        assert expand([f"scale:site={site},layer=1,factor=2"], architecture)
        assert expand([f"zero:site={site}_normed,layer=1,head=0"], architecture)
    assert expand(["zero:site=q,layer=1,head=0"], tried("qwen3").architecture)  # a norm a head


def test_trap_12_heads_of_keys_are_counted_as_keys_and_the_message_says_so(tried):
    architecture = tried("llama").architecture
    assert len(expand(["zero:site=v,layer=1,head=*"], architecture)) == 5
    with pytest.raises(UsageError, match=r"v has heads 0 to 4, each for 3 of the queries"):
        expand(["zero:site=v,layer=1,head=5"], architecture)


@pytest.mark.parametrize(("name", "positions"), [("llama", 89), ("roberta", 89), ("gptj", 89)])
def test_trap_18_a_text_behind_the_last_position_is_refused(tried, name, positions):
    model = tried(name)
    text = "a b " * positions
    with pytest.raises(InputError, match=rf"tokens.*, but .* has {positions} positions"):
        tokenize(Sentences("test", (text,), (1,), {}), model.model)
