"""Models: a name becomes a local folder with configuration, weights and tokenizer; the folder becomes a torch model.

Everything up to ``load`` works without torch, because a stored run must be recognised without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from actlas.pipeline.weights import weights_digest
from actlas.store.errors import UsageError
from actlas.store.schema import canonical

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo_model"
HUB_FILES = (
    "config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
)
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

#: the fields of config.json that decide what the model computes, with the defaults of the GPT-2 family
CONFIG: Mapping[str, object] = {
    "activation_function": "gelu_new",
    "attn_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "n_embd": 768,
    "n_head": 12,
    "n_inner": None,
    "n_layer": 12,
    "n_positions": 1024,
    "reorder_and_upcast_attn": False,
    "resid_pdrop": 0.1,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
    "vocab_size": 50257,
}


@dataclass(frozen=True)
class Geometry:
    """Sizes of a model, named as in the store's dims."""

    n_layer: int
    n_head: int
    d_model: int
    d_head: int
    d_mlp: int
    positions: int
    vocabulary: int

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dim but ``token``."""
        return {
            "layer": self.n_layer,
            "depth": self.n_layer + 1,
            "head": self.n_head,
            "d_head": self.d_head,
            "d_model": self.d_model,
            "d_mlp": self.d_mlp,
        }


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine: how it was called, where it lies, what its config.json says."""

    name: str
    folder: Path
    revision: str | None  # commit of the hub, None for a folder
    config: Mapping[str, Any]

    @cached_property
    def geometry(self) -> Geometry:
        """Sizes; raises UsageError if config.json has impossible ones."""
        config = self.effective
        d_model, n_head = int(config["n_embd"]), int(config["n_head"])
        if d_model % n_head:
            raise UsageError(f"{self.folder}/config.json: n_embd {d_model} is no multiple of n_head {n_head}")
        d_mlp = int(config["n_inner"] or 4 * d_model)
        return Geometry(
            int(config["n_layer"]),
            n_head,
            d_model,
            d_model // n_head,
            d_mlp,
            int(config["n_positions"]),
            int(config["vocab_size"]),
        )

    @property
    def effective(self) -> dict[str, Any]:
        """The fields that decide what is computed, defaults filled in."""
        return {field: self.config.get(field, default) for field, default in CONFIG.items()}

    @cached_property
    def config_digest(self) -> str:
        """SHA-256 of ``effective``."""
        return hashlib.sha256(canonical(self.effective)).hexdigest()

    @cached_property
    def weight_files(self) -> list[Path]:
        """The safetensors files; raises UsageError where weights are missing or only pickled."""
        files = sorted(self.folder.glob("*.safetensors"))
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            named = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            missing = [name for name in named if not (self.folder / name).is_file()]
            if missing:
                raise UsageError(f"{self.folder}: weight file {missing[0]} of its index is missing: copy the whole folder")
            return [self.folder / name for name in named]
        if files:
            return files
        pickled = [path.name for pattern in PICKLED for path in self.folder.glob(pattern)]
        if pickled:
            raise UsageError(
                f"{self.folder} has only pickled weights ({pickled[0]}), which can run code when loaded: "
                "save the model as safetensors, `model.save_pretrained(folder, safe_serialization=True)`"
            )
        raise UsageError(f"{self.folder} has no weights: wanted model.safetensors")

    @cached_property
    def weights_digest(self) -> str:
        """Digest of all weights, independent of names of files and folders."""
        return weights_digest(self.weight_files, tied=bool(self.effective["tie_word_embeddings"]))

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weight files."""
        return sum(file.stat().st_size for file in self.weight_files)


def resolve(name: str, revision: str | None = None) -> ModelFolder:
    """Find ``name``: ``demo``, a local folder, or an id on the hub, from its local cache where it is there.

    Raises UsageError if there is no such model, it is not of the GPT-2 family, or the hub cannot be reached.
    """
    if name == DEMO:
        return _opened(name, DEMO_FOLDER, None)
    if Path(name).is_dir():
        return _opened(name, Path(name), None)
    if Path(name).exists() or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UsageError(f"model {name} is no folder: wanted `demo`, a folder with config.json, or a hub id such as gpt2-xl")
    folder = _from_hub(name, revision)
    return _opened(name, folder, folder.name)


def _opened(name: str, folder: Path, revision: str | None) -> ModelFolder:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"model folder {folder} has no config.json") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error})") from error
    if config.get("model_type") != "gpt2":
        raise UsageError(f"model {name} is of type {config.get('model_type')!r}: wanted the GPT-2 family ('gpt2')")
    return ModelFolder(name, folder, revision, config)


def _from_hub(name: str, revision: str | None) -> Path:
    """Return the snapshot of a hub id: the cached one if it is whole, else downloaded; its folder is named by the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES), local_files_only=True))
        if (cached / "config.json").is_file() and any(cached.glob("*.safetensors")):
            return cached
    except LocalEntryNotFoundError:
        pass  # not in the local cache yet: ask the hub
    except HFValidationError as error:
        raise UsageError(f"model {name!r} is neither a folder here nor a well-formed hub id") from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES)))
    except LocalEntryNotFoundError as error:
        raise UsageError(
            f"model {name!r} is no folder here, is not in the local hub cache, and the hub cannot be reached: "
            "give a folder, or run once with a connection"
        ) from error
    except HfHubHTTPError as error:
        raise UsageError(f"model {name!r}: the hub says {str(error).splitlines()[0]}") from error


def load(model: ModelFolder, *, dtype: torch.dtype, device: torch.device, attention: str) -> GPT2LMHeadModel:
    """Load the weights on ``device`` in eval mode; safetensors only, no remote code.

    Raises UsageError where the files do not hold exactly the model's weights: transformers would draw the missing at random.
    """
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it warns of is an error below
    loaded, found = cast(
        "tuple[GPT2LMHeadModel, dict[str, list[str]]]",
        GPT2LMHeadModel.from_pretrained(
            model.folder,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        ),
    )
    wrong = [*found["missing_keys"], *found["mismatched_keys"]]
    if wrong:
        raise UsageError(
            f"{model.folder}: weights do not fit config.json ({wrong[0]} missing or of another shape, {len(wrong)} in all)"
        )
    loaded.to(device)  # type: ignore[arg-type]  # transformers annotates its wrapper of nn.Module.to wrongly
    loaded.eval()
    return loaded
