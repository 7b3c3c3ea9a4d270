"""Tiny models of every type, saved as users have theirs: folders as the hub has them."""

import json
import re
import zlib
from copy import deepcopy
from pathlib import Path

import numpy as np

from tests.families.configs import TINY
from tests.families.spelling import spelled_5
from tests.families.tokenizing import tokenizer_for

__all__ = ["TINY", "class_of", "save_tiny", "spelled_5"]

# what wrote the file, where that is not what reads it
WRITERS = {"bert-pretraining": "BertForPreTraining", "bert-model": "BertModel"}
# names in the modules of some version → names in the file, by name in TINY or by type
VISION = (r"^(model\.vision_tower)\.(?!vision_model\.)", r"\1.vision_model.")
RENAMED = {
    "gpt_neox": (("^lm_head", "embed_out"),),
    "gemma3": (
        VISION,
        (r"^model\.language_model\.", "language_model.model."),
        (r"^model\.(vision_tower|multi_modal_projector)\.", r"\1."),
    ),
    "gemma3-saved": (VISION,),
    "bert-pretraining": (
        (r"LayerNorm\.weight", "LayerNorm.gamma"),
        (r"LayerNorm\.bias", "LayerNorm.beta"),
    ),
}
TIED = (
    "lm_head.weight",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
)


def class_of(kind: str) -> str:
    """Return the class of transformers that reads a model of this type, with its head."""
    from transformers.models.auto import modeling_auto

    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return (masked if kind in ("bert", "roberta") else causal)[kind]


def save_tiny(folder: Path, name: str, seed: int = 0) -> Path:
    """Save model ``name`` of TINY and a tokenizer in ``folder``, float32.

    The files are the same whatever version of transformers runs: its model gives names and shapes,
    and each value is 0 (1 in norms that start there) + 0.15 · N(0, 1).
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = TINY[name]
    kind = config["model_type"]
    drawn = masks(config)
    for key, start in starts(name).items():
        noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(start.shape)
        drawn[key] = (start.mean().round() + 0.15 * noise).astype(np.float32)
    save_file(drawn, folder / "model.safetensors", metadata={"format": "pt"})
    written = {"architectures": [WRITERS.get(name, class_of(kind))], "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps({**written, **config}, indent=2) + "\n")
    tokenizer_for(name).save(str(folder / "tokenizer.json"))
    if kind not in ("bert", "roberta"):
        # the classes of some families want tokens of their own in the vocabulary
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def starts(name: str) -> dict[str, np.ndarray]:
    """Return the freshly made weights by their names in the file, each once."""
    import transformers

    config = TINY[name]
    kind = config["model_type"]
    model_class = getattr(transformers, WRITERS.get(name, class_of(kind)))
    # from_dict writes into what it is given
    model = model_class(model_class.config_class.from_dict(deepcopy(config)))
    found, kept = {}, set()
    for key, tensor in model.state_dict().items():
        if not (key in TIED and tensor.data_ptr() in kept):
            found[in_file(key, RENAMED.get(name, RENAMED.get(kind, ())))] = tensor.numpy()
        kept.add(tensor.data_ptr())
    return found


def in_file(key: str, renamed: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in renamed:
        key = re.sub(pattern, replacement, key)
    return key


def masks(config: dict) -> dict[str, np.ndarray]:
    """Return what files of these types hold beside the weights, and no model reads any more."""
    kind = config["model_type"]
    paths = {"gpt_neox": "gpt_neox.layers.{}.attention", "gptj": "transformer.h.{}.attn"}
    paths["gpt_neo"] = "transformer.h.{}.attn.attention"
    if kind not in paths:
        return {}
    layers = next(
        config[key] for key in ("num_hidden_layers", "n_layer", "num_layers") if key in config
    )
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    found = {}
    for layer in range(layers):
        path = paths[kind].format(layer)
        found[f"{path}.bias"] = np.tri(positions, dtype=bool)[None, None]
        found[f"{path}.masked_bias"] = np.float32([-1e9]).reshape(())
        if kind == "gpt_neox":
            found[f"{path}.rotary_emb.inv_freq"] = np.ones(2, np.float32)
    return found
