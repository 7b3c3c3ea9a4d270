"""Whatever text is given as edits is read, or refused in one short line."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from actlas.pipeline.edits.grid import expand
from actlas.pipeline.edits.spec import (
    edit_record,
    edit_text,
    parse_edit,
)
from actlas.store import UsageError
from actlas.store.format.edit_records import EditRecord
from tests.pipeline.edits.architectures import SMALL

PIECES = [
    "skip:",
    "scale:",
    "zero:",
    "noise:",
    "layer=",
    "depth=",
    "site=",
    "head=",
    "neurons=",
    "dims=",
    "factor=",
    "std=",
    "seed=",
    "resid",
    "q",
    "blocks.",
    "blocks.1.",
    "attn.hook_q",
    "hook_resid_pre",
    "hook_resid_post",
    "ln_final",
    "*",
    "|",
    "::2",
    ",",
    ":",
    "=",
    "+",
    "-",
    ".",
    "0",
    "1",
    "0-2",
    "1e400",
    "nan",
    "inf",
    "9" * 30,
    " ",
    "\x1b[2J",
    "٣",
    "\0",
    "\ud800",
]


texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


@settings(max_examples=400)
@given(texts | st.lists(st.sampled_from(PIECES), min_size=2).map("".join))
@example("zero:site=blocks.*.attn.hook_q,head=*")
@example("scale:layer=0|1|,factor=1")
@example("scale:site=blocks.٣.attn.hook_q,factor=1")
@example(f"scale:layer={'0|' * 20_000}0,factor={'1|' * 20_000}1")
@example("zero:" + "layer=1," * 50_000)
@example("a" * 10**6)
def test_any_text_is_edits_or_one_short_line(text):
    try:
        found = expand([text], SMALL)
    except UsageError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        return
    for edit in found:
        assert parse_edit(edit_text(edit)) == edit
        assert EditRecord.from_json(edit_record(edit).to_json()).text == edit_text(edit)
