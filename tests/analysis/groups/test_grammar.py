"""The grammar of groups: what is printed is parsed to the same, what is wrong is one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.analysis.groups import Group, parse_group
from actlas.analysis.groups.conditions import Column, Not, Numbers, Regex, Text, Word, WordList
from actlas.analysis.groups.grammar import parse_groups, with_words
from actlas.store.errors import UsageError
from tests.analysis.groups import drawing


@given(drawing.groups)
def test_what_is_printed_is_parsed_to_the_same(group):
    assert parse_group(str(group)) == group


@given(
    st.one_of(
        st.text(), st.text(r"a=b:,|@\!-19. wordtexgi").map(lambda text: f"a={text}"), st.text()
    )
)
def test_any_text_is_a_group_or_one_line(text):
    try:
        group = parse_group(text)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert parse_group(str(group)) == group


@pytest.mark.parametrize(
    ("text", "conditions", "offset"),
    [
        ("a|an", (Word(("a", "an")),), 0),
        ("New York", (Word(("New York",)),), 0),
        ("word:a|an", (Word(("a", "an")),), 0),
        ("word:nouns.txt", (WordList("nouns.txt"),), 0),
        (r"text:\,|;|:", (Text((",", ";", ":")),), 0),
        ("regex:^ ?[A-Z]", (Regex("^ ?[A-Z]"),), 0),
        (r"regex:a\,|\d", (Regex(r"a,|\d"),), 0),
        ("id:262|281", (Numbers("id", ((262, 262), (281, 281))),), 0),
        ("length:1-3", (Numbers("length", ((1, 3),)),), 0),
        ("position:-3--1|7", (Numbers("position", ((-3, -1), (7, 7))),), 0),
        ("her, use:object, !position:1", (
            Word(("her",)), Column("use", ("object",)), Not(Numbers("position", ((1, 1),)))
        ), 0),
        ("her@-1", (Word(("her",)),), -1),
        (r"a\@b@+2", (Word(("a@b",)),), 2),
        (":", (Word((":",)),), 0),
        (r"\!", (Word(("!",)),), 0),
    ],
)  # fmt: skip
def test_forms(text, conditions, offset):
    assert parse_group(f"it={text}") == Group("it", conditions, offset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a|an", "expected NAME=CONDITION, such as singular=a|an"),
        ("x=", "expected NAME=CONDITION"),
        ("=her", "cannot be the name"),
        ("rest=her", "one that actlas uses itself"),
        ("a:b=her", "has a '=' or ':'"),
        ("x=a,,b", "a condition is empty"),
        ("x=a|", "a word is empty"),
        ("x=her@before", "expected one number at the end"),
        ("x=her@1@2", "expected one number at the end"),
        ("x=length:short", "expected a number or a range, such as length:1-3"),
        ("x=length:3-1", "length:3-1 is not a range"),
        ("x=freq:-3", "is below 0"),
        ("x=regex:(", "is not a pattern"),
        ("x=!!her", "one ! is enough"),
        ("x=word:a|b.txt", "a list of words stands alone"),
    ],
)
def test_what_is_wrong_is_one_line(text, message):
    with pytest.raises(UsageError) as error:
        parse_group(text)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_name_stands_once():
    assert parse_groups({"one": "a", "two": "b"}) == parse_groups(("one=a", "two=b"))
    with pytest.raises(UsageError, match="'one' is given twice"):
        parse_groups(("one=a", "one=b"))


def test_lists_of_words_are_read(tmp_path):
    (tmp_path / "nouns.txt").write_text("\ufeffcup\n\n New York \ncup\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("\n")
    found = with_words(parse_group("x=!nouns.txt@1"), tmp_path)
    assert found == Group("x", (Not(Word(("cup", "New York"))),), 1)
    for name, message in (("none.txt", "does not exist"), ("empty.txt", "has no word")):
        with pytest.raises(UsageError, match=message):
            with_words(parse_group(f"x={name}"), tmp_path)
