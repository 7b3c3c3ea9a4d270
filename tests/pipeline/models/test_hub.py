"""Models of the hub: taken whole from its cache, asked for by all files that decide, or refused."""

import shutil
from fnmatch import fnmatch

import pytest

from actlas.pipeline.models.folder import HUB_FILES, resolve
from actlas.store.errors import UsageError


def test_hub_model_comes_from_the_local_cache(small_model, tmp_path, monkeypatch):
    """A real hub cache on disk, read by the hub's own library.

    The revision that was used is known.
    """
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    shutil.copytree(small_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    found = resolve("someone/small")
    assert found.revision == commit
    assert found.weights_digest == resolve(str(small_model)).weights_digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "hub cannot be reached"),
        ("./nowhere", "is not a directory"),
        ("a/b/c", "is not a directory"),
        ("bad name", "neither a folder here nor a well-formed hub id"),
    ],
)
def test_unknown_model(tmp_path, monkeypatch, name, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=message):
        resolve(name)


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors"])
def test_a_part_in_the_hub_cache_is_not_taken_for_the_whole(
    small_model, tmp_path, monkeypatch, missing
):
    """Another program may have fetched the weights alone; the hub is asked for the rest."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    (shutil.copytree(small_model, repository / "snapshots" / commit) / missing).unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="has not all of"):
        resolve("someone/small")


def test_a_revision_of_a_folder_is_refused(small_model):
    for name in ("demo", str(small_model)):
        with pytest.raises(UsageError, match="leave --revision out"):
            resolve(name, "main")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "config.json",
            "tokenizer.json",
            "tokenizer.4.0.0.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ),
        *(
            "added_tokens.json",
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "tokenizer.model",
            "spiece.model",
            "tekken.json",
        ),
    ],
)
def test_every_file_that_decides_ids_is_asked_of_the_hub(name):
    assert any(fnmatch(name, pattern) for pattern in HUB_FILES)
