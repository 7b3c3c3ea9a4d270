"""The helper that runs commands under a pseudo-terminal sees what a terminal sees."""

from actlas.scripts.terminal.text import heads_text
from tests.terminal import escapes, run_on_terminal


def test_a_command_sees_a_terminal_and_we_see_its_bytes(tmp_path):
    status, said = run_on_terminal(tmp_path, "--help")
    assert status == 0
    assert b"an atlas of activations" in said
    assert said.count(b"\n") == said.count(b"\r\n")
    assert escapes(said) == []


def test_a_failure_is_one_line_on_a_terminal_too(tmp_path):
    status, said = run_on_terminal(tmp_path, "ls", "--store", "nowhere")
    assert status == 2
    assert said.strip().count(b"\n") == 0
    assert said.startswith(b"Error: ")


def test_keys_are_typed(tmp_path, actlas, sentence_file, small_model):
    actlas(
        "extract",
        sentence_file,
        "--model",
        small_model,
        "--store",
        "store",
        "--site",
        "resid",
        "--name",
        "it",
    )
    status, said = run_on_terminal(tmp_path, "rm", "it", "--store", "store", keys=b"n\n")
    assert b"Remove run" in said
    assert (status, (tmp_path / "store" / "names" / "it").exists()) == (1, True)


def test_escapes_are_found():
    assert escapes(b"\x1b[2Ja\x1b]0;x\x07b\x1b[1;31mc") == [b"[2J", b"]0;x", b"[1;31m"]


def test_heads_of_keys_are_said_where_they_are_fewer():
    assert heads_text({"head": 8, "kv_head": 2}) == "8 heads (2 of keys and values)"
    assert heads_text({"head": 8, "kv_head": 8}) == heads_text({"head": 8}) == "8 heads"
