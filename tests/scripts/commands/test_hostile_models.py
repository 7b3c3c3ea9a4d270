"""Model folders that are none.

Each is refused in one line and in time, with nothing in the store.
"""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from actlas.pipeline.models.folder import resolve
from actlas.store import UsageError
from tests import hostile_models
from tests.hostile_models import CONFIGS, HEADERS, INDEXES, WHOLE_CONFIGS, WHOLE_FILES

SECONDS = 60  # a few, on a machine that may be busy
LONGEST = 1000  # characters


@pytest.fixture
def copy(small_model, tmp_path):
    (tmp_path / "t.txt").write_text("We saw her.\n")
    return shutil.copytree(small_model, tmp_path / "m")


@pytest.fixture
def refused(actlas, copy, tmp_path):
    """Extract with the folder as it is now; return the one line that comes."""

    def run():
        begin = time.monotonic()
        done = actlas("extract", "t.txt", "--model", "m", "--store", "s")
        assert time.monotonic() - begin < SECONDS
        assert done.returncode in (1, 2), done.stderr
        assert done.stdout == ""
        assert re.fullmatch(r"Error: [^\n]*\n", done.stderr), done.stderr[-2000:]
        assert done.stderr[:-1].isprintable()
        assert len(done.stderr) < LONGEST
        assert not (tmp_path / "s").exists()
        return done.stderr

    return run


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_with_an_impossible_field(copy, refused, name):
    hostile_models.with_config(copy, CONFIGS[name])
    refused()


@pytest.mark.parametrize("name", WHOLE_CONFIGS)
def test_a_config_that_is_none(copy, refused, name):
    (copy / "config.json").write_bytes(WHOLE_CONFIGS[name])
    assert "config.json" in refused() or name in ("list", "number", "text")


@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "loop"])
@pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors", "model.safetensors.index.json"]
)
def test_a_file_that_never_ends(copy, refused, file, kind):
    if file.endswith("index.json"):
        (copy / "model.safetensors").unlink()
    hostile_models.with_special_file(copy / file, kind)
    refused()


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_no_gpt2(copy, refused, name):
    hostile_models.with_header(copy, *HEADERS[name])
    refused()


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_file_of_no_weights(copy, refused, name):
    (copy / "model.safetensors").write_bytes(WHOLE_FILES[name])
    assert "is not a safetensors file" in refused()


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_of_nothing(copy, refused, name):
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_bytes(INDEXES[name])
    refused()


def test_an_index_that_names_another_file(copy, refused):
    (copy / "model.safetensors").rename(copy / "b.safetensors")
    index = {"weight_map": {"transformer.wte.weight": "b.safetensors", "\x1b[31m": "b.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert r"says that tensor '\x1b[31m' is in 'b.safetensors', which lacks it" in refused()


def test_files_beside_that_are_not_read(copy, actlas):
    """transformers reads generation_config.json, and would wait for a pipe for ever."""
    hostile_models.with_special_file(copy / "generation_config.json", "pipe")
    done = actlas("extract", "t.txt", "--model", "m", "--store", "s")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("prefix", "advice"),
    [
        ("module.", "torch's DataParallel: save `model.module`"),
        ("_orig_mod.", "torch.compile: save `model._orig_mod`"),
        ("model.", "expected 'transformer.' or none"),
        ("base_model.model.", "expected 'transformer.' or none"),
    ],
)
def test_a_prefix_is_named(copy, refused, prefix, advice):
    weights = load_file(copy / "model.safetensors")
    save_file(
        {prefix + name: value for name, value in weights.items()},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    said = refused()
    assert f"the names of its tensors begin with {prefix!r}" in said
    assert advice in said


@pytest.mark.parametrize(
    "name",
    ["h.0.attn.q_proj.weight", "lm_head.bias", "h.1.crossattention.c_attn.weight", "wte.scale"],
)
def test_a_tensor_that_gpt2_has_no_use_for_is_not_left_out_in_silence(copy, refused, name):
    weights = load_file(copy / "model.safetensors")
    save_file(
        {**weights, name: weights["transformer.ln_f.bias"].clone()},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    assert f"GPT-2 has no tensor '{name}'" in refused()


def test_a_head_of_another_task_is_left_out(copy, actlas):
    weights = load_file(copy / "model.safetensors")
    save_file(
        {**weights, "score.weight": weights["transformer.ln_f.bias"].clone()},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    assert actlas("extract", "t.txt", "--model", "m", "--store", "s").returncode == 0


@pytest.mark.parametrize("name", ["escape", "prefix with an escape", "lines"])
def test_no_escape_reaches_a_terminal(copy, tmp_path, name):
    """Under a pseudo-terminal, where click does not strip any."""
    hostile_models.with_header(copy, *HEADERS[name])
    parent, child = pty.openpty()
    code = "from actlas.scripts.cli import main; main(prog_name='actlas')"
    command = [sys.executable, "-c", code, "extract", "t.txt", "--model", "m", "--store", "s"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=child, stdout=child, stderr=child, check=False
    )
    os.close(child)
    said = b""
    try:
        while chunk := os.read(parent, 65536):
            said += chunk
    except OSError:  # the end, on Linux
        pass
    os.close(parent)
    assert done.returncode == 2
    assert said.startswith(b"Error: ")
    assert said.decode().replace("\r\n", "").isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def scratch(small_model, tmp_path_factory):
    return shutil.copytree(small_model, tmp_path_factory.mktemp("fuzz") / "m")


@settings(max_examples=200)
@given(data=st.data())
def test_any_field_of_any_value_is_read_or_refused(small_model, scratch, data):
    config = json.loads((small_model / "config.json").read_text())
    for name in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3)):
        config[name] = data.draw(JSON)
    (scratch / "config.json").write_text(json.dumps(config))
    shutil.copy(small_model / "model.safetensors", scratch)
    try:
        assert resolve(str(scratch)).weights_digest
    except UsageError as error:
        assert str(error).isprintable()
        assert len(str(error)) < LONGEST


@settings(max_examples=200)
@given(data=st.data())
def test_any_header_is_read_or_refused(small_model, scratch, data):
    content = bytearray((small_model / "model.safetensors").read_bytes())
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(header)))
        field = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "new", None]))
        if field is None:
            header[data.draw(st.text(max_size=9))] = header.pop(name)
        else:
            header[name][field] = data.draw(JSON)
        text = json.dumps(header).encode()
        content[: 8 + length] = len(text).to_bytes(8, "little") + text
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, length + 8))] = data.draw(st.integers(0, 255))
    shutil.copy(small_model / "config.json", scratch)
    (scratch / "model.safetensors").write_bytes(content)
    try:
        assert resolve(str(scratch)).weights_digest
    except UsageError as error:
        assert str(error).isprintable()
        assert len(str(error)) < LONGEST
