"""Files of spans: what is written is read, and what cannot be used is named by its line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.token_labels import spans as reader
from actlas.pipeline.token_labels.spans import NO_LABEL, read_spans
from actlas.store.errors import ActlasError, InputError, UsageError

number = st.integers(0, 10**9)
value = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=4)


@given(st.lists(st.tuples(number, number, number, value, value)), st.sampled_from([",", ";", "\t"]))
def test_what_is_written_is_read(tmp_path_factory, rows, separator):
    written = io.StringIO()
    out = csv.writer(written, delimiter=separator, lineterminator="\n")
    out.writerows([("sentence", "char_start", "char_end", "pos", "a b"), *rows])
    path = tmp_path_factory.mktemp("spans") / "a.csv"
    path.write_text(written.getvalue(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CHUNK", 2)
        found = read_spans(str(path))
    assert found.line.tolist() == list(range(2, len(rows) + 2))
    read = zip(found.sentence.tolist(), found.start.tolist(), found.end.tolist(), strict=True)
    assert list(read) == [row[:3] for row in rows]
    for place, name in enumerate(("pos", "a b"), 3):
        label = found.labels[name]
        values = ["" if code == NO_LABEL else label.values[code] for code in label.codes]
        assert values == [row[place] for row in rows]


HEADER = "sentence,char_start,char_end,pos\n"
BAD = {
    "no column": ("sentence,start,char_end\n", "no column 'char_start' in the header, which has"),
    "built-in": ("sentence,char_start,char_end,token_id\n", "cannot be called 'token_id'"),
    "a site": ("sentence,char_start,char_end,resid\n", "cannot be called 'resid'"),
    "twice": ("sentence,char_start,char_end,a,a\n", "has 'a' twice"),
    "fields": (HEADER + "0,1,2,a\n\n0,1\n", "line 4: has 2 fields, expected the header's 4"),
    "negative": (HEADER + "0,1,2,a\n0,-1,2,b\n", "line 3: char_start is '-1', expected a whole"),
    "fraction": (HEADER + '"0",1.0,2,a\n', "line 2: char_start is '1.0'"),
    "too long": (HEADER + f"{'9' * 30},1,2,a\n", "line 2: sentence is '9"),
    "line": (HEADER + '0,1,2,"a\nb"\nx,1,2,a\n', "line 4: sentence is 'x'"),
    "quote": (HEADER + '0,1,2,"a\n', "line 2: not CSV"),
    "bytes": (HEADER.encode() + b"0,1,2,\xff\n", "line 2: not UTF-8"),
    "NUL": (HEADER + "0,1,2,a\n0,3,4,b\0\n", "line 3: pos contains a NUL character"),
    "empty": ("", "no column 'sentence' in the header, which has no column"),
    "two meanings": ("sentence,a;sentence\n", "between commas and semicolons"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_refused_in_a_line(content, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as found:
        read_spans(str(path))
    assert str(found.value).startswith(str(path))
    assert len(str(found.value).splitlines()) == 1


def test_a_file_that_is_none_is_refused(tmp_path):
    for name, message in (("a.txt", "ends in .csv, .tsv"), ("a.csv", "does not exist")):
        with pytest.raises(UsageError, match=message):
            read_spans(str(tmp_path / name))
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(ActlasError, match="Is a directory"):
        read_spans(str(tmp_path / "b.csv"))


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(b"sentence,char_start,char_end,pos\n" + content)
    try:
        read_spans(str(path))
    except ActlasError as error:
        assert "\n" not in str(error)
