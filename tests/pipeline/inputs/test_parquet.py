"""Parquet: what a table has is read as from other formats, in batches, or refused in a line."""

import numpy as np
import pytest

from actlas.pipeline.inputs import parquet as reader
from actlas.pipeline.inputs.sentences import read_sentences
from actlas.store.errors import InputError, UsageError

COLUMNS = {
    "text": ["one", "two", "three"],
    "n": [1, None, 3],
    "kind": ["a", None, "a"],
    "flag": [True, False, True],
    "__index_level_0__": [0, 1, 2],
}


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"pip install 'actlas\[parquet\]'"):
        read_sentences(str(tmp_path / "a.parquet"))


@pytest.fixture
def written(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write(columns, **options):
        columns = {name: pyarrow.array(values) for name, values in columns.items()}
        parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", **options)
        return tmp_path / "a.parquet"

    return write


def test_columns_are_those_of_other_formats(written, monkeypatch):
    monkeypatch.setattr(reader, "BATCH", 2)
    kinds = __import__("pyarrow").array(COLUMNS["kind"]).dictionary_encode()
    read = read_sentences(str(written({**COLUMNS, "kind": kinds}, row_group_size=2)))
    assert (read.text, read.line) == (("one", "two", "three"), (1, 2, 3))
    np.testing.assert_array_equal(read.columns["n"], [1, float("nan"), 3])
    assert read.columns["kind"].tolist() == ["a", "", "a"]
    assert (read.columns["flag"].dtype, read.columns["flag"].tolist()) == (np.uint8, [1, 0, 1])
    assert read.notes == ("column '__index_level_0__', the index that pandas wrote, is skipped",)


def test_a_part_of_a_file_is_refused_in_a_line(written, tmp_path):
    content = written({"text": [f"sentence {n}" for n in range(99)]}).read_bytes()
    altered = content[:8] + bytes(40) + content[48:]
    for number, part in enumerate(
        (b"", b"PAR1", content[:-1], content[: len(content) // 2], altered)
    ):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(part)
        with pytest.raises(InputError, match=r"\.parquet: not Parquet, or not all of it") as found:
            read_sentences(str(path))
        assert len(str(found.value).splitlines()) == 1


def test_what_cannot_be_a_label_is_refused_by_its_column(written):
    source = written({"body": ["one"], "when": np.array(["2026-01-01"], "datetime64[s]"), "n": [1]})
    for options, message in (
        ({}, "no column 'text' in the header, which has 'body', 'when', 'n': --text-column"),
        ({"text_column": "body"}, r"column 'when' is of timestamp\[.*--drop it"),
        ({"text_column": "n"}, "column 'n' is of int64, expected text$"),
    ):
        drop = ["when"] if options.get("text_column") == "n" else []
        with pytest.raises(InputError, match=message):
            read_sentences(str(source), drop=drop, **options)
    read = read_sentences(str(source), text_column="body", drop=["when"])
    assert (read.text, read.columns["n"].tolist()) == (("one",), [1])
    with pytest.raises(UsageError, match="--drop: unknown column 'wen': did you mean when"):
        read_sentences(str(source), text_column="body", drop=["when", "wen"])


def test_a_row_without_text_is_named(written):
    with pytest.raises(InputError, match=r"a\.parquet, row 2: 'text' is missing, expected text"):
        read_sentences(str(written({"text": ["one", None]})))
