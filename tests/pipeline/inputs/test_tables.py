"""Tables as people have them: every common form is read right, or refused naming file and line."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.inputs.sentences import read_sentences
from actlas.store.errors import ActlasError, InputError, UsageError

CASES = Path(__file__).parent / "cases"
NAN = float("nan")
FIRST, SECOND = "She drank her tea.", "He gave her tea."

#: file → texts, columns, and what is reported
READ = {
    "arr.json": ((FIRST,), {}, ""),
    "blank.jsonl": ((FIRST,), {}, ""),
    "blankend.txt": ((FIRST, SECOND), {}, "1 blank line between"),
    "bool.csv": ((FIRST, SECOND), {"flag": (np.uint8, [1, 0])}, ""),
    "idx.csv": (
        (FIRST, SECOND),
        {"kind": (object, ["a", "b"])},
        "column 1 of the header has no name",
    ),
    "miss.jsonl": ((FIRST, SECOND), {"age": (np.float64, [3.0, NAN])}, ""),
    "missing.csv": (
        (FIRST, SECOND),
        {"age": (np.float64, [3.0, NAN]), "score": (np.float64, [1.5, NAN])},
        "",
    ),
    "null.jsonl": ((FIRST, SECOND), {"age": (np.float64, [3.0, NAN])}, ""),
    "semi.csv": ((FIRST, SECOND), {"kind": (object, ["a", "b"])}, "separated by semicolons"),
    "spacecol.csv": ((FIRST, SECOND), {"word type": (object, ["a", "b"])}, ""),
    "tab.tsv": ((FIRST,), {"kind": (object, ["a"])}, ""),
}


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("name", READ)
def test_common_tables_are_read(name):
    texts, columns, reported = READ[name]
    read = read_sentences(str(CASES / name))
    assert read.text == texts
    assert read.columns.keys() == columns.keys()
    for column, (dtype, values) in columns.items():
        assert read.columns[column].dtype == dtype
        np.testing.assert_array_equal(read.columns[column], np.array(values, dtype=dtype))
    assert bool(read.notes) == bool(reported)
    assert all(reported in note for note in read.notes)


values = st.one_of(
    st.lists(st.none() | st.integers(-(2**53), 2**53), min_size=1),
    st.lists(st.none() | st.floats(-1e300, 1e300), min_size=1),
    st.lists(st.none() | st.booleans(), min_size=1),
    st.lists(
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1),
        min_size=1,
    ),
)


def expected(column):
    present = [value for value in column if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {str} or not kinds:
        return ["" if value is None else value for value in column]
    return [NAN if value is None else float(value) for value in column]


@given(values, st.sampled_from(["lines", "array", "absent"]))
def test_missing_values_of_json_are_nan_in_numbers_and_empty_in_text(
    tmp_path_factory, column, form
):
    folder = tmp_path_factory.mktemp("json")
    rows = [{"text": "one", "c": value} for value in column]
    rows = [row if row["c"] is not None or form != "absent" else {"text": "one"} for row in rows]
    if form == "array":
        source = write(folder, "a.json", json.dumps(rows))
    else:
        source = write(folder, "a.jsonl", "\n".join(map(json.dumps, rows)))
    read = read_sentences(source).columns
    if "c" not in read:
        assert not any("c" in row for row in rows)
        return
    np.testing.assert_array_equal(np.array(read["c"].tolist()), np.array(expected(column)))


@given(values, st.sampled_from([",", ";", "\t", "|"]))
def test_a_table_has_the_dtypes_and_gaps_of_json(tmp_path_factory, column, separator):
    folder = tmp_path_factory.mktemp("csv")
    written = io.StringIO()
    rows = csv.writer(written, delimiter=separator, lineterminator="\n")
    rows.writerow(["text", "c"])
    rows.writerows(
        ["one", "" if value is None else repr(value) if isinstance(value, float) else value]
        for value in column
    )
    lines = "\n".join(json.dumps({"text": "one", "c": value}) for value in column)
    table = read_sentences(write(folder, "a.csv", written.getvalue())).columns["c"]
    other = read_sentences(write(folder, "a.jsonl", lines)).columns["c"]
    if {type(value) for value in column} - {type(None)} == {str}:
        return  # "1" is a text in JSON and a number in CSV
    np.testing.assert_array_equal(np.array(table.tolist()), np.array(other.tolist()))


def test_whole_numbers_that_a_float_would_round_stay_text(tmp_path):
    read = read_sentences(
        write(tmp_path, "a.csv", f"text,a,b\none,{2**53 + 1},{2**53 + 1}\ntwo,,0.5\n")
    )
    assert read.columns["a"].tolist() == [str(2**53 + 1), ""]
    assert read.columns["b"].tolist() == [str(2**53 + 1), "0.5"]
    read = read_sentences(
        write(tmp_path, "a.jsonl", f'{{"text":"one","a":{2**53 + 1}}}\n{{"text":"two","a":null}}\n')
    )
    assert read.columns["a"].tolist() == [str(2**53 + 1), ""]


def test_columns_are_renamed_and_dropped(tmp_path):
    source = write(tmp_path, "a.csv", "layer,text,id,token\n1,one,7,a\n2,two,8,b\n")
    with pytest.raises(
        InputError, match=r"a\.csv: a column cannot be called 'layer' .*--rename layer=NEW"
    ):
        read_sentences(source)
    read = read_sentences(source, rename=["layer=tree layer", "token=word"], drop=["id"])
    assert {name: column.tolist() for name, column in read.columns.items()} == {
        "tree layer": [1, 2],
        "word": ["a", "b"],
    }
    for wrong, message in (
        ({"rename": ["layer"]}, "expected OLD=NEW"),
        ({"rename": ["layr=a"]}, "unknown column 'layr'.*did you mean layer"),
        ({"rename": ["text=a"]}, "has the sentences"),
        ({"rename": ["id=a", "id=b"]}, "a column twice"),
        ({"rename": ["id=a"], "drop": ["id"]}, "renamed and dropped"),
        ({"drop": ["tokn"]}, r"a\.csv: --drop: unknown column 'tokn': did you mean token"),
        ({"drop": ["text"]}, "has the sentences"),
    ):
        with pytest.raises(UsageError, match=message):
            read_sentences(source, **wrong)
    with pytest.raises(InputError, match="two columns are called 'id'"):
        read_sentences(source, rename=["layer=id"], drop=["token"])


@pytest.mark.parametrize(
    ("name", "header", "reported"),
    [
        ("a.csv", "text;a", "semicolons"),
        ("a.csv", "text\ta", "tabs"),
        ("a.tsv", "text,a", "commas"),
        ("a.tsv", "text\ta", None),
        ("a.csv", 'text,"a;text"', None),
        ("a.tsv", "text", None),
    ],
)
def test_the_header_decides_what_separates_columns(name, header, reported, tmp_path):
    row = "one" if header == "text" else header.replace("text", "one", 1)
    read = read_sentences(write(tmp_path, name, f"{header}\n{row}\n"))
    assert read.text == ("one",)
    assert read.notes == ((f"columns are separated by {reported}",) if reported else ())


def test_a_header_of_two_meanings_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has 'text' between commas and semicolons: expected one"):
        read_sentences(write(tmp_path, "a.csv", "text,a;text\none,b;two\n"))


def test_a_field_of_any_length_is_read_and_a_bad_one_named_by_its_own_line(tmp_path):
    long = "x" * 200_000
    before = csv.field_size_limit()
    read = read_sentences(write(tmp_path, "a.csv", f'text,a\n"one\ntwo",{long}\nthree,b\n'))
    assert (read.text, read.line, read.columns["a"].tolist()) == (
        ("one\ntwo", "three"),
        (2, 4),
        [long, "b"],
    )
    assert csv.field_size_limit() == before
    with pytest.raises(InputError, match=r"a\.csv, line 4: has 1 field, expected the header's 2"):
        read_sentences(write(tmp_path, "a.csv", 'text,a\n"one\ntwo",b\nthree\n'))
    with pytest.raises(InputError, match=r"a\.csv: line 3: not CSV"):
        read_sentences(write(tmp_path, "a.csv", 'text,a\none,b\nthree,"c\n'))


def test_items_of_an_array_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.json, item 2: expected an object with the text"):
        read_sentences(write(tmp_path, "a.json", '[{"text": "one"}, {"txt": "two"}]'))
    with pytest.raises(
        InputError, match=r'a\.json: expected an array of objects.*orient="records"'
    ):
        read_sentences(write(tmp_path, "a.json", '{"text": {"0": "one"}}'))
    assert read_sentences(write(tmp_path, "a.json", '["one", "two"]')).text == ("one", "two")


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    os.mkfifo(tmp_path / "a.json")
    for name in ("a.txt", "a.json"):
        with pytest.raises(UsageError, match="is not a regular file"):
            read_sentences(str(tmp_path / name))


@pytest.mark.parametrize("ending", [".txt", ".csv", ".tsv", ".jsonl", ".json"])
@given(data=st.data())
def test_any_bytes_are_read_or_refused(tmp_path_factory, ending, data):
    pieces = [
        b"text",
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"null",
        b"NaN",
        b"1e999",
    ]
    content = data.draw(
        st.binary(max_size=60)
        | st.lists(st.sampled_from(pieces) | st.binary(max_size=4), max_size=30).map(b"".join)
    )
    source = write(tmp_path_factory.mktemp("any"), f"a{ending}", content)
    for skip_bad in (False, True):
        try:
            read = read_sentences(source, skip_bad=skip_bad)
        except ActlasError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 600
        else:
            assert all(len(column) == len(read.text) for column in read.columns.values())


LOST = {
    "bytes in a quoted field": (
        "a.csv",
        b'text,a\n"one\n\xff\nmore",1\ntwo,2\n',
        "line 3: byte 1 \\(0xff\\) is not UTF-8",
    ),
    "infinity": (
        "a.jsonl",
        b'{"text": "one", "a": 1e999}\n{"text": "two", "a": 1}\n',
        "line 1: column 'a' is infinite",
    ),
    "a key twice": (
        "a.jsonl",
        b'{"text": "one", "a": 1, "a": 2}\n{"text": "two", "a": 1}\n',
        "line 1: not JSON .*'a' stands twice",
    ),
    "a quote left open": ("a.csv", b'text,a\none,1\n"two\nmore,2\nthree,3\n', "line 3: not CSV"),
}


@pytest.mark.parametrize(("name", "content", "message"), LOST.values(), ids=LOST)
def test_nothing_is_lost_or_changed_in_silence(name, content, message, tmp_path):
    source = write(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        read_sentences(source)


def test_what_statistics_programs_write_for_missing_is_missing(tmp_path):
    read = read_sentences(write(tmp_path, "a.csv", "text,a,b\none,1,NA\ntwo,NA,x\n"))
    np.testing.assert_array_equal(read.columns["a"], [1, NAN])
    assert read.columns["b"].tolist() == ["NA", "x"]
