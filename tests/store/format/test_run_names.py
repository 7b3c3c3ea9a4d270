"""Names of runs: any script, safe as files; what comes of the name of a file.

Names of variants by any name of the baseline.
"""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store import Store, UsageError
from actlas.store.format.edit_records import EditRecord
from actlas.store.format.run_names import (
    MOST_BYTES,
    MOST_LETTERS,
    cleaned,
    is_run_name,
    spelled,
    variant_name,
    variant_suffix,
)
from tests.store.making import Content, begin_run, make_run, make_variant

SCALED = (EditRecord("scale", "resid", 3, parameters={"factor": -0.5}),)


@pytest.mark.parametrize(
    "name", ["her-demo", "数据-demo", "हिन्दी", "Žluťoučký", "7", "a..b", "x" * 100, "数" * 66]
)
def test_letters_of_any_script_are_a_name(tmp_path, name):
    name = unicodedata.normalize("NFC", name)
    run = begin_run(tmp_path / "store", Content(), name)
    assert Store(tmp_path / "store").run(name).id == run.id
    assert Store(tmp_path / "store").run(unicodedata.normalize("NFD", name)).id == run.id
    assert (tmp_path / "store" / "names" / name).is_file()


BAD = [
    "",
    ".a",
    "-a",
    "_a",
    "a/b",
    "a b",
    "a\n",
    "a\x1b[31m",
    "a\u202e",
    "a\0",
    "é",
    "\u0301a",
    "x" * 101,
    "数" * 67,
]
BAD += ["a:b", "0123456789abcdef", "🙂", "a" * 10**6, "a\u200db", "a\ud800"]


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_name_is_one_line(tmp_path, name):
    store, run = Store.create(tmp_path / "store"), begin_run(tmp_path / "store", Content())
    with pytest.raises(UsageError, match="bad run name") as caught:
        store.name(run, unicodedata.normalize("NFD", name) if name == "é" else name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=300))
def test_what_is_cleaned_is_a_name_or_nothing_and_stays_as_it_is(text):
    name = cleaned(text)
    assert name == "" or is_run_name(name)
    assert name == "" or is_run_name(f"{name}-{10**10}")
    assert cleaned(name) == name
    if (
        is_run_name(text)
        and len(text) <= MOST_LETTERS - 15
        and len(text.encode()) <= MOST_BYTES - 15
        and text[-1] not in "._-"
    ):
        assert name in (text, f"run-{text}")


@given(st.text(max_size=300))
def test_a_text_is_a_name_only_where_a_file_can_be_called_so(tmp_path_factory, text):
    if is_run_name(text):
        path = tmp_path_factory.mktemp("names") / text
        path.touch()
        assert [each.name for each in path.parent.iterdir()] == [text]


def test_texts_without_letters_give_names_of_their_own():
    assert cleaned("🙂") == cleaned("!!!") == ""
    assert {spelled(text) for text in ("🙂", "🙃", "!!!")} == {"u1f642", "u1f643", "u21-u21-u21"}
    assert all(is_run_name(spelled(text)) for text in ("🙂", "!" * 300))


@pytest.mark.parametrize("baseline", ["her-demo", "数" * 66, "x" * 100, "हि" * 40])
def test_the_edits_stand_whole_in_the_name_of_a_variant(baseline):
    name = variant_name(baseline, SCALED)
    assert is_run_name(name)
    assert name.endswith(".scale-layer-2-factor--0.5")
    assert is_run_name(f"{name}-{10**9}")
    assert variant_suffix([EditRecord("skip", "resid", 4)]) == "skip-layer-3"


def test_a_variant_is_found_by_any_name_of_its_baseline(tmp_path):
    path = tmp_path / "store"
    baseline = make_run(path, Content(), "first", edits=[])
    store = Store(path)
    variant = store.name(
        make_variant(path, baseline, Content(seed=1)),
        variant_name("first", [EditRecord("skip", "resid", 2)]),
    )
    store.name(baseline, "another")
    for name in ("first.skip-layer-1", "another.skip-layer-1"):
        assert store.run(name).id == variant.id
    assert [run.id for run in store.variants_named("another.skip*")] == [variant.id]
    assert store.variants_named("another.scale*") == store.variants_named("other.skip*") == []
    with pytest.raises(UsageError, match=r"unknown run 'another.skip-layer-2'"):
        store.run("another.skip-layer-2")
