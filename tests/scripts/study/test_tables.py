"""Laws of reading TOML tables into dataclasses.

What is written comes back, what is not known or of another type is refused.
"""

import string
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.scripts.study.tables import filled
from actlas.store.errors import UsageError


@dataclass(frozen=True)
class Options:
    word: str
    count: int = 3
    share: float | None = None
    flag: bool = False
    parts: tuple[str | tuple[str, ...], ...] = ()


texts = st.text(max_size=8)
tables = st.fixed_dictionaries(
    {"word": texts},
    optional={
        "count": st.integers(),
        "share": st.floats(allow_nan=False) | st.integers(-1000, 1000),
        "flag": st.booleans(),
        "parts": st.lists(texts | st.lists(texts, max_size=3), max_size=3),
    },
)


@given(tables)
def test_what_is_given_comes_back_and_the_rest_is_the_default(table):
    found = filled(Options, table, "here")
    for name in ("word", "count", "share", "flag"):
        assert getattr(found, name) == table.get(name, getattr(Options("x"), name))
    assert [list(part) if isinstance(part, tuple) else part for part in found.parts] == table.get(
        "parts", []
    )


wrong = {
    "word": st.integers() | st.booleans() | st.lists(texts) | st.dictionaries(texts, texts),
    "count": st.floats() | st.booleans() | texts,
    "share": st.booleans() | texts,
    "flag": st.integers() | texts,
    "parts": texts | st.lists(st.integers(), min_size=1),
}


def test_the_item_of_a_list_that_is_wrong_is_named():
    with pytest.raises(UsageError, match=r"^here parts\[1\] is 3, expected text or a list"):
        filled(Options, {"word": "x", "parts": ["a", 3]}, "here")
    with pytest.raises(UsageError, match=r"^here parts\[0\]\[1\] is true, expected text$"):
        filled(Options, {"word": "x", "parts": [["a", True]]}, "here")


@given(tables, st.sampled_from(sorted(wrong)), st.data())
def test_a_value_of_another_type_is_refused_by_name(table, key, data):
    with pytest.raises(UsageError, match=rf"^here {key}.* expected "):
        filled(Options, {**table, key: data.draw(wrong[key])}, "here")


@given(tables, st.text(string.ascii_lowercase, min_size=1, max_size=8))
def test_an_unknown_key_is_refused(table, key):
    known = ("word", "count", "share", "flag", "parts")
    if key not in known:
        with pytest.raises(
            UsageError, match=f"^here: unknown key '{key}'.*known: count, flag, parts, share, word"
        ):
            filled(Options, {**table, key: 1}, "here")


def test_the_nearest_key_is_named_and_a_needed_one_asked_for():
    with pytest.raises(UsageError, match="unknown key 'cuont': did you mean count"):
        filled(Options, {"word": "a", "cuont": 1}, "here")
    with pytest.raises(UsageError, match=r"^here lacks the key 'word'$"):
        filled(Options, {}, "here")
    with pytest.raises(UsageError, match=r"^here is 3, expected a table$"):
        filled(Options, 3, "here")
