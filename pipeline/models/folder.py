"""Models: a name becomes a local folder with configuration, weights and tokenizer.

The folder becomes a torch model.

Everything up to ``load`` works without torch, because a stored run must be recognised without it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlas.pipeline.inputs.tokenizer_files import PATTERNS as TOKENIZER_FILES
from actlas.pipeline.inputs.tokenizer_files import has_tokenizer
from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.configuration import config_digest, effective, read_config, shown
from actlas.pipeline.models.family import Family
from actlas.pipeline.models.files.weights import check_whole, weight_files, weights_digest
from actlas.pipeline.models.geometry import Geometry
from actlas.pipeline.models.registry import FAMILIES, family_of
from actlas.store.errors import UsageError
from actlas.store.io.safe_open import user_path

if TYPE_CHECKING:
    import torch

    from actlas.pipeline.models.family import Model

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[1] / "demo_model"
HUB_FILES = (
    "config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    *TOKENIZER_FILES,
)
LONGEST_TYPE = 40  # characters that are compared with the names of families
OWN_CODE = " with code of its own, which is never run"
HUB_CACHES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine: how it was called, where it lies, what its config.json says."""

    name: str
    folder: Path
    revision: str | None  # commit of the hub, None for a folder
    config: Mapping[str, Any]

    @property
    def family(self) -> Family:
        """The family, by the ``model_type`` of config.json."""
        return FAMILIES[self.config["model_type"]]

    @cached_property
    def architecture(self) -> Architecture:
        """The family with the sizes of this model.

        Raises UsageError if config.json has impossible ones.
        """
        return Architecture.of(self.family, self.effective)

    @cached_property
    def effective(self) -> dict[str, Any]:
        """The fields that decide what is computed; raises UsageError for impossible ones."""
        return effective(self.config, self.family.config, f"{self.folder}/config.json")

    @property
    def geometry(self) -> Geometry:
        """Sizes; raises UsageError if config.json has impossible ones."""
        return self.architecture.geometry

    @cached_property
    def config_digest(self) -> str:
        """SHA-256 of ``effective``."""
        return config_digest(self.effective)

    @cached_property
    def weight_files(self) -> list[Path]:
        """The safetensors files; raises UsageError where weights are missing or only pickled."""
        return weight_files(self.folder)

    @cached_property
    def weights_digest(self) -> str:
        """Digest of all weights, independent of names of files and folders.

        Raises UsageError if they do not fit.
        """
        return weights_digest(self.weight_files, self.family, self.effective)

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weight files."""
        return sum(file.stat().st_size for file in self.weight_files)


def resolve(name: str, revision: str | None = None) -> ModelFolder:
    """Find ``name``: ``demo``, a local folder, or an id on the hub, from its local cache.

    Where it is there.

    Raises UsageError if there is no such model, its type is not supported, or the hub cannot be
    reached.
    """
    if name.startswith("~") or "\0" in name:
        name = str(user_path(name))
    if revision is not None and (name == DEMO or Path(name).is_dir()):
        raise UsageError(
            f"model {name} is a folder here and has no revision {revision!r}: leave --revision out"
        )
    if name == DEMO:
        return _opened(name, DEMO_FOLDER, None)
    if Path(name).is_dir():
        return _opened(name, Path(name), None)
    if Path(name).exists() or name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UsageError(
            f"model {name} is not a directory: expected `demo`, a folder with config.json, or a "
            f"hub id such as gpt2-xl"
        )
    folder = _from_hub(name, revision)
    return _opened(name, folder, folder.name)


def _opened(name: str, folder: Path, revision: str | None) -> ModelFolder:
    path = folder / "config.json"
    try:
        config = read_config(path)
    except FileNotFoundError as error:
        check_whole(folder)
        raise UsageError(f"model folder {folder} has no config.json") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if family_of(kind) is None:
        near = difflib.get_close_matches(str(kind)[:LONGEST_TYPE], FAMILIES)
        own_code = "" if not isinstance(config, dict) or "auto_map" not in config else OWN_CODE
        raise UsageError(
            f"model {name} is of type {shown(kind)}{own_code}, expected one of "
            f"{', '.join(FAMILIES)}" + (f" (nearest: {', '.join(near)})" if near else "")
        )
    return ModelFolder(name, folder, revision, config)


def _from_hub(name: str, revision: str | None) -> Path:
    """Return the snapshot of a hub id: the cached one if it is whole, else downloaded.

    Its folder is named by the commit.
    """
    _check_hub_cache(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=list(HUB_FILES), local_files_only=True
            )
        )
        # without tokenizer_config.json: not fetched, or not there
        if _is_whole(cached) and (cached / "tokenizer_config.json").is_file():
            return cached
    except LocalEntryNotFoundError:
        pass  # not in the local cache yet: ask the hub
    except HFValidationError as error:
        raise UsageError(
            f"model {name!r} is neither a folder here nor a well-formed hub id"
        ) from error
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(HUB_FILES)))
    except LocalEntryNotFoundError as error:
        raise UsageError(
            f"model {name!r} is not a directory here, is not in the local hub cache, and the hub "
            f"cannot be reached: "
            "give a folder, or run once with a connection"
        ) from error
    except HfHubHTTPError as error:
        raise UsageError(f"model {name!r}: the hub says {str(error).splitlines()[0]}") from error
    # the library returns a part of it, too, where the hub cannot be reached
    if not _is_whole(folder):
        raise UsageError(
            f"model {name!r} has not all of config.json, safetensors weights and tokenizer in "
            f"the local hub cache, "
            "and the hub has no more or cannot be reached: give a folder, or run once with a "
            "connection"
        )
    return folder


def _check_hub_cache(name: str) -> None:
    """Raise UsageError where the hub's library has no folder for its cache.

    It would make a folder named ``~`` in the working directory.
    """
    if any(os.environ.get(variable) for variable in HUB_CACHES):
        return
    try:
        Path.home()
    except RuntimeError as error:
        raise UsageError(
            f"model {name!r} is not a directory here, and there is no home folder for the hub's "
            f"cache (HOME is not set): "
            "set HF_HOME to a folder, or give the folder of a model"
        ) from error


def _is_whole(folder: Path) -> bool:
    """Whether a snapshot has all that is needed: another program may have fetched a part of it."""
    try:
        weight_files(folder)
    except UsageError:
        return False
    return (folder / "config.json").is_file() and has_tokenizer(folder)


def load(model: ModelFolder, *, dtype: torch.dtype, device: torch.device, attention: str) -> Model:
    """Load the weights on ``device`` in eval mode.

    Safetensors only, no remote code, of config.json ``effective`` alone.

    Raises UsageError where the files do not hold exactly the model's weights, all of them finite,
    and where the installed transformers would compute something else than config.json says.
    """
    from actlas.pipeline.models.loading import loaded

    return loaded(
        model.weight_files,
        model.family,
        model.effective,
        dtype=dtype,
        device=device,
        attention=attention,
    )
