"""Laws of units: all sentences, in order, once.

Never more tokens than allowed, padding counted, where that can be.
"""

from hypothesis import given
from hypothesis import strategies as st

from actlas.pipeline.inputs.batches import plan_units

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(sizes, st.integers(1, 200))
def test_units_cover_all_sentences_in_order(row_sizes, unit_tokens):
    units = plan_units(row_sizes, unit_tokens)
    assert [unit.number for unit in units] == list(range(len(units)))
    assert [s for unit in units for s in range(unit.first, unit.first + unit.sentences)] == list(
        range(len(row_sizes))
    )
    assert [unit.tokens for unit in units] == [
        sum(row_sizes[unit.first : unit.first + unit.sentences]) for unit in units
    ]


@given(sizes, st.integers(1, 200))
def test_units_are_full_but_not_over(row_sizes, unit_tokens):
    units = plan_units(row_sizes, unit_tokens)
    for unit in units:
        members = row_sizes[unit.first : unit.first + unit.sentences]
        assert unit.sentences == 1 or max(members) * len(members) <= unit_tokens
        after = row_sizes[unit.first : unit.first + unit.sentences + 1]
        assert len(after) == unit.sentences or max(after) * len(after) > unit_tokens
