"""Texts of a large run are read when they are asked for, and are those of a small one."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actlas.analysis.data.words import find_words
from actlas.store import DamagedStore, Run
from actlas.store.format.schema import StoredLabel
from actlas.store.labels.texts import StoredTexts, TextPlace
from actlas.store.runs.exported import Exported
from actlas.store.writing.export import export
from actlas.store.writing.pack import pack
from actlas.store.writing.selection import Selection
from tests.store.making import Content, make_run, shards


@pytest.fixture
def large(monkeypatch):
    """Let three sentences be many."""
    monkeypatch.setattr("actlas.store.labels.texts.AT_ONCE", 2)
    monkeypatch.setattr("actlas.store.labels.texts.CHUNK", 2)


@pytest.fixture(params=["apart", "packed"])
def run(tmp_path, request):
    made = make_run(tmp_path / "store", Content(seed=4))
    if request.param == "packed":
        pack(made)
    return Run(made.folder)


@pytest.mark.usefixtures("large")
def test_they_are_those_of_a_small_run(run, monkeypatch):
    found = run.labels.text
    assert isinstance(found, StoredTexts)
    monkeypatch.undo()
    texts = Run(run.folder).labels.text
    assert isinstance(texts, tuple)
    assert len(texts) > 2
    assert tuple(found) == texts
    assert [found[number] for number in range(-len(texts), len(texts))] == [*texts, *texts]
    with pytest.raises(IndexError):
        found[len(texts)]


@settings(max_examples=60)
@given(st.slices(9), st.integers(1, 5), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_any_part_of_any_files_can_be_asked_for(tmp_path_factory, part, chunk, counts):
    path = tmp_path_factory.mktemp("texts") / "texts"
    texts, places, content = [], [], b""
    for count in counts:
        width = 3 + count
        rows = np.array(
            [f"ü{len(texts) + number}".encode() for number in range(count)], dtype=f"S{width}"
        )
        label = _label(rows, len(content))
        texts += [row.decode() for row in rows.tolist()]
        content += rows.tobytes()
        places.append(label)
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actlas.store.labels.texts.CHUNK", chunk)
        stored = StoredTexts([TextPlace(path, len(content), label) for label in places])
        assert len(stored) == len(texts)
        assert stored[part] == tuple(texts[part])
        assert list(stored) == texts


def _label(rows, offset):
    return StoredLabel(("sentence", "text_bytes"), (len(rows), rows.dtype.itemsize), "|S1", offset)


@pytest.mark.usefixtures("large")
def test_in_order_each_file_is_read_once_a_chunk(run, monkeypatch):
    read = []
    real = TextPlace.__getitem__
    monkeypatch.setattr(
        TextPlace, "__getitem__", lambda place, rows: read.append(rows) or real(place, rows)
    )
    dataset = run.dataset(("q",))
    assert read == []  # opening leaves them where they are
    list(run.labels.text)
    once = len(read)
    read.clear()
    [str(dataset["text"][number].values) for number in range(dataset.sizes["token"])]
    assert len(read) == once


@pytest.mark.usefixtures("large")
def test_the_coordinate_is_lazy_and_answers_as_ever(run, monkeypatch):
    lazy = run.dataset(("q",))
    monkeypatch.undo()
    eager = Run(run.folder).dataset(("q",))
    assert not lazy["text"].variable._in_memory
    assert "text" in repr(lazy)
    np.testing.assert_array_equal(lazy["text"].values, eager["text"].values)
    np.testing.assert_array_equal(lazy["text"][[2, 0]].values, eager["text"][[2, 0]].values)
    assert lazy["text"][1].item() == eager["text"][1].item()
    assert lazy.load().identical(eager.load())
    assert copy.deepcopy(lazy).identical(eager)


@pytest.mark.usefixtures("large")
def test_a_word_is_searched_for_in_them(run, tmp_path, monkeypatch):
    """Tokens of these runs are random.

    So that a word is found in the texts and not among the tokens.
    """
    monkeypatch.setattr("actlas.analysis.data.sentences.TEXTS", 1)
    word = run.labels.text[0].split()[-1]
    lazy = find_words(run.dataset(("q",)), word)
    exported = tmp_path / "part.h5"
    export(run, exported, Selection(sites=("q",)))
    of_export = find_words(Exported(exported).dataset(), word)
    monkeypatch.undo()
    eager = find_words(Run(run.folder).dataset(("q",)), word)
    assert 0 in {*eager.found, *eager.clipped}
    for found in (lazy, of_export):
        assert found.found.keys() == eager.found.keys()
        assert found.clipped == eager.clipped


@pytest.mark.usefixtures("large")
def test_texts_that_were_altered_are_named(run):
    path = shards(run)[0]
    text = run.labels.text[0].encode()
    content = bytearray(path.read_bytes())
    content[content.index(text)] = 0xFF
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(DamagedStore, match="labels were altered"):
        list(Run(run.folder).labels.text)
    with pytest.raises(DamagedStore, match="labels were altered"):
        Run(run.folder).dataset(("q",))
