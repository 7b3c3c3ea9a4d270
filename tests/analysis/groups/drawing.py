"""What hypothesis draws of groups: any that can be written."""

from hypothesis import strategies as st

from actlas.analysis.data.group_names import REST
from actlas.analysis.groups.conditions import (
    KEYS,
    LIST,
    NUMBERS,
    Column,
    Not,
    Numbers,
    Regex,
    Text,
    Word,
    WordList,
)
from actlas.analysis.groups.grammar import OWN, Group

characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp"))
texts = st.one_of(
    st.text(characters, max_size=9), st.text(r"\,|@:!= .^*()[]-19ab", max_size=9)
).map(str.strip)
several = st.lists(texts.filter(lambda text: text and not text.endswith(LIST)), min_size=1)
names = texts.filter(
    lambda name: (
        name and name.isprintable() and not set(name) & set("=:") and name not in (*OWN, REST)
    )
)
columns = texts.filter(
    lambda name: (
        name and not set(name) & set(r"\,|@:") and name not in KEYS and not name.startswith("!")
    )
)
patterns = st.sampled_from(["^ ?[A-Z]", r"\d+", "a,b|@", r"\\,", r"\,\@", "(a|b)", " ", "[,@]"])


@st.composite
def numbers(draw):
    """Return ranges of a number; of positions also from the end."""
    kind = draw(st.sampled_from(NUMBERS))
    ranges = []
    for low, high in draw(st.lists(st.tuples(*[st.integers(1, 10**9)] * 2), min_size=1)):
        low, high = min(low, high), max(low, high)
        backwards = kind == "position" and draw(st.booleans())
        ranges.append((-high, -low) if backwards else (low, high))
    return Numbers(kind, tuple(ranges))


positive = st.one_of(
    several.map(tuple).map(Word),
    texts.map(lambda text: WordList(f"{text}{LIST}")),
    st.lists(texts, min_size=1).map(tuple).map(Text),
    patterns.map(Regex),
    numbers(),
    st.builds(Column, columns, st.lists(st.text(characters), min_size=1).map(tuple)),
)
groups = st.builds(
    Group,
    names,
    st.lists(st.one_of(positive, positive.map(Not)), min_size=1, max_size=4).map(tuple),
    st.integers(-1000, 1000),
)
