"""Reading sentences: what is written comes back, and what cannot be used is named by its line."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.inputs.sentences import read_sentences
from actlas.store.errors import InputError, UsageError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1).filter(
    str.strip
)


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@given(st.lists(texts, min_size=1, max_size=8))
def test_plain_lines_come_back(tmp_path_factory, lines):
    source = write(tmp_path_factory.mktemp("plain"), "a.txt", "\n".join(lines) + "\n")
    assert read_sentences(source).text == tuple(
        line.removeprefix("\ufeff") if i == 0 else line for i, line in enumerate(lines)
    )


@given(
    st.lists(
        st.tuples(texts, st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9), st.booleans(), texts),
        min_size=1,
    )
)
def test_json_lines_keep_their_columns(tmp_path_factory, rows):
    lines = [json.dumps({"s": s, "n": n, "f": f, "b": b, "t": t}) for s, n, f, b, t in rows]
    read = read_sentences(
        write(tmp_path_factory.mktemp("json"), "a.jsonl", "\n".join(lines)), text_column="s"
    )
    assert read.text == tuple(row[0] for row in rows)
    for index, (name, dtype) in enumerate(
        {"n": np.int64, "f": np.float64, "b": np.uint8}.items(), 1
    ):
        assert read.columns[name].dtype == dtype
        assert read.columns[name].tolist() == [row[index] for row in rows]
    assert read.columns["t"].tolist() == [row[4].rstrip("\0") for row in rows]


def test_csv_recognises_numbers_and_keeps_leading_zeros(tmp_path):
    source = write(
        tmp_path,
        "a.csv",
        'text,year,score,code\r\n"We saw, her.",1999,0.5,007\r\nTom,2001,2,010\r\n',
    )
    read = read_sentences(source)
    assert read.text == ("We saw, her.", "Tom")
    assert (read.columns["year"].dtype, read.columns["score"].dtype) == (np.int64, np.float64)
    assert read.columns["code"].tolist() == ["007", "010"]


def test_numbers_too_long_for_a_number_keep_their_digits(tmp_path):
    long = "9" * 5000
    source = write(tmp_path, "a.csv", f"text,a,b,c\none,{long},{2**63 - 1},{2**63}\n")
    read = read_sentences(source)
    assert [read.columns[name].tolist() for name in "abc"] == [[long], [2**63 - 1], [str(2**63)]]
    read = read_sentences(
        write(
            tmp_path,
            "a.jsonl",
            f'{{"text": "one", "a": 1{"0" * 400}}}\n{{"text": "two", "a": 0.5}}\n',
        )
    )
    assert read.columns["a"].tolist() == [f"1{'0' * 400}", "0.5"]


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    assert read_sentences(write(tmp_path, "a.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")).text == (
        "one",
        "two",
    )


BAD = {
    "blank text": ("a.csv", "text,a\none,1\n  ,2\n", "line 3: blank"),
    "broken encoding": ("a.txt", b"one\ntw\xffo\n", "line 2: byte 3 \\(0xff\\) is not UTF-8"),
    "line ends of old Macs": ("a.txt", "one\ntwo\rthree\n", "line 2: contains a carriage return"),
    "NUL": ("a.txt", "one\ntw\0o\n", "line 2: contains a NUL"),
    "not JSON": ("a.jsonl", '{"text": "one"}\n{"text": \n', "line 2: not JSON"),
    "no text": (
        "a.jsonl",
        '{"text": "one"}\n{"txt": "two"}\n',
        "line 2: expected an object with the text in 'text'",
    ),
    "null": ("a.jsonl", '{"text": "one"}\n{"text": null}\n', "line 2: 'text' is missing"),
    "surrogate": (
        "a.jsonl",
        '{"text": "one"}\n{"text": "a\\ud800"}\n',
        "line 2: contains half a surrogate pair",
    ),
    "deep": (
        "a.jsonl",
        '{"text": "one"}\n{"text": "two", "a": ' + "[" * 200_000 + "\n",
        "line 2: not JSON",
    ),
    "nested": (
        "a.jsonl",
        '{"text": "one", "a": 1}\n{"text": "two", "a": [1]}\n',
        "line 2: column 'a' is a list, expected text",
    ),
    "broken encoding in CSV": (
        "a.csv",
        b"text\none\ntw\xffo\n",
        "line 3: byte 3 \\(0xff\\) is not UTF-8",
    ),
    "ragged CSV": ("a.csv", "text,a\none,1\ntwo\n", "line 3: has 1 field, expected the header's 2"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_bad_line_is_named_or_left_out_and_listed(tmp_path, name, content, message):
    source = write(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        read_sentences(source)
    read = read_sentences(source, skip_bad=True)
    assert read.text[0] == "one"
    assert len(read.skipped) == 1
    assert str(read.skipped[0].number) in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no sentence"),
        ("a.csv", "", "no column 'text'"),
        ("a.csv", "sentence\none\n", "a.csv: no column 'text' in the header, which has 'sentence'"),
        ("a.csv", "text,layer\none,1\n", "cannot be called 'layer'"),
        ("a.csv", "text,nll\none,1\n", "cannot be called 'nll'"),
        ("a.csv", "text,row_size\none,1\n", "cannot be called 'row_size'"),
        ("a.csv", f"text,{'x' * 201}\none,1\n", "expected 1 to 200 characters, got 201"),
        ("a.csv", 'text,"a\tb"\none,1\n', "characters that cannot be printed"),
        ("a.csv", 'text\n"one', "not CSV"),
        ("a.csv", '"text\none\n', "not CSV"),
        ("a.csv", "text,a,a\none,1,2\n", "the header has 'a' twice"),
    ],
)
def test_unusable_file(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_sentences(write(tmp_path, name, content), skip_bad=True)


def test_wrong_request(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_sentences(str(tmp_path / "none.txt"))
    with pytest.raises(UsageError, match="has no ending"):
        read_sentences(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"ends in '.doc'"):
        read_sentences(write(tmp_path, "a.doc", "one"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_sentences(str(tmp_path.with_suffix(".txt").mkdir() or tmp_path.with_suffix(".txt")))
