"""Model folders that are no models, kept.

Each was a traceback, a hang or a wrong number once, or is a sibling of one.
"""

import json
import os
import struct

CONFIGS = {
    "nan": '"layer_norm_epsilon": NaN',
    "infinity": '"layer_norm_epsilon": Infinity',
    "minus infinity": '"n_head": -Infinity',
    "too large for a float": '"layer_norm_epsilon": 1e400',
    "too large for a float, negative": '"embd_pdrop": -1e400',
    "dropout of 2": '"attn_pdrop": 2.0',
    "negative dropout": '"resid_pdrop": -0.1',
    "wide": '"n_embd": 1000000000',
    "wide and many": '"n_embd": 1000000000, "n_head": 1000000000',
    "vocabulary": '"vocab_size": 1e30',
    "vocabulary, whole": '"vocab_size": 1000000000000000000000000000000',
    "many blocks": '"n_layer": 100000',
    "more blocks": '"n_layer": 1000000000000',
    "most blocks": '"n_layer": 2000000000',
    "digits": '"n_layer": ' + "9" * 5000,
    "no blocks": '"n_layer": 0',
    "positions": '"n_positions": 2147483648',
    "fraction": '"n_layer": 3.0',
    "text": '"n_layer": "3"',
    "list": '"n_layer": [3]',
    "null": '"n_layer": null',
    "object": '"activation_function": {"a": 1}',
    "escape": '"activation_function": "\\u001b[31mred\\u001b[0m"',
    "line": '"activation_function": "gelu\\nError: all is well"',
    "long": '"activation_function": "' + "x" * 100_000 + '"',
    "surrogate": '"activation_function": "\\ud800"',
    "weights of its own": '"activation_function": "prelu"',
    "lazy": '"activation_function": "xielu"',
    "type": '"model_type": "\\u001b]0;title\\u0007"',
    "type, a list": '"model_type": ["gpt2"]',
    "two names": '"hidden_size": 12',
    "deep": '"x": ' + "[" * 200_000,
    "true": '"n_head": true',
    "scales": '"scale_attn_weights": "false"',
    "tied": '"tie_word_embeddings": null',
    "pruned": '"pruned_heads": {"0": [1]}',
    "quantised": '"quantization_config": {"bits": 4}',
}
#: whole config.json
WHOLE_CONFIGS = {
    "empty": b"",
    "list": b"[1]",
    "number": b"3",
    "bytes": b"\xff\xfe\x00",
    "text": b'"gpt2"',
    "zeros": bytes(100),
    "giant": b" " * (5 << 20),
}


def entry(shape=(1,), offsets=(0, 4), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


#: name → the header of a safetensors file, and the bytes behind it
HEADERS = {
    "empty object": ({}, b""),
    "list": ([], b""),
    "null": (None, b""),
    "escape": ({"\x1b]0;title\x07\x1b[31m": entry()}, bytes(4)),
    "escape, cut": ({"\x1b[31m": entry()}, b""),
    "lines": ({"a\nError: all is well\r": entry()}, bytes(4)),
    "long name": ({"x" * 1_000_000: entry()}, b""),
    "overlap": ({"a": entry(), "b": entry(offsets=(2, 6))}, bytes(6)),
    "same place": ({"a": entry(), "b": entry()}, bytes(4)),
    "gap": ({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "more behind": ({"a": entry()}, bytes(9)),
    "negative": ({"a": entry(offsets=(-4, 0))}, bytes(4)),
    "backwards": ({"a": entry(offsets=(4, 0))}, bytes(4)),
    "giant offset": ({"a": entry(offsets=(0, 10**30))}, bytes(4)),
    "giant shape": ({"a": entry(shape=(10**30,))}, bytes(4)),
    "shape of zeros and giants": ({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, b""),
    "many dims": ({"a": entry(shape=(1,) * 10_000)}, bytes(4)),
    "another shape": ({"a": entry(shape=(3,))}, bytes(4)),
    "unknown dtype": ({"a": entry(dtype="\x1b[31mF33")}, bytes(4)),
    "dtype, a list": ({"a": entry(dtype=["F32"])}, bytes(4)),
    "true": ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)),
    "no entry": ({"a": 1}, b""),
    "metadata": ({"__metadata__": {"a": entry()}}, b""),
    "module.": ({"module.transformer.wpe.weight": entry()}, bytes(4)),
    "_orig_mod.": ({"_orig_mod.wpe.weight": entry()}, bytes(4)),
    "model.": ({"model.transformer.ln_f.weight": entry()}, bytes(4)),
    "prefix with an escape": ({"\x1b[31m.wpe.weight": entry()}, bytes(4)),
    "blocks": (
        {"wpe.weight": entry(), "h.99999999999999999999.x": entry(offsets=(4, 8))},
        bytes(8),
    ),
}
#: whole model.safetensors
WHOLE_FILES = {
    "empty": b"",
    "short": b"\x01",
    "only a length": struct.pack("<Q", 8),
    "length of 2⁶⁴": b"\xff" * 8 + b"{}",
    "header of 90 MB": struct.pack("<Q", 90 << 20) + b"{",
    "no JSON": struct.pack("<Q", 4) + b"{{{{",
    "deep": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "NaN": struct.pack("<Q", 60)
    + b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0,4]}}'[:60],
    "twice": struct.pack("<Q", 17) + b'{"a": 1, "a": 2} ',
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n",
}
INDEXES = {
    "empty map": b'{"weight_map": {}}',
    "no map": b"{}",
    "list": b'{"weight_map": [1]}',
    "number": b'{"weight_map": {"a": 1}}',
    "elsewhere": b'{"weight_map": {"a": "../model.safetensors"}}',
    "absolute": b'{"weight_map": {"a": "/dev/zero"}}',
    "escape": b'{"weight_map": {"a": "\\u001b[31m"}}',
    "missing": b'{"weight_map": {"a": "b.safetensors"}}',
    "NUL": b'{"weight_map": {"a": "b\\u0000"}}',
    "deep": b"[" * 200_000,
    "null": b"null",
}


def with_config(folder, fields):
    """Put ``fields``, as text, behind those of config.json.

    Of two with one name JSON takes the later.
    """
    path = folder / "config.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + f", {fields}}}")


def with_header(folder, header, content):
    """Make a safetensors file of that header."""
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content)


def with_special_file(path, kind):
    """Put a pipe, or a link to something endless, in the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(
            {"zero": "/dev/zero", "terminal": "/dev/tty", "folder": path.parent, "loop": path}[kind]
        )
