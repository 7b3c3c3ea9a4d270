import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlas.store import DamagedStore
from actlas.store.format.commit_record import CommitRecord
from actlas.store.format.schema import (
    FORMAT,
    FORMAT_VERSION,
    canonical,
    identity,
    seal,
    unseal,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
keys = st.text().filter(lambda key: key not in ("checksum", "format", "version"))
records = st.dictionaries(
    keys, st.recursive(scalars, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8)
)


def sealed(record):
    return seal({**record, "format": FORMAT, "version": FORMAT_VERSION})


@given(record=records)
def test_unseal_undoes_seal(record):
    found = unseal(sealed(record), "x.json", FORMAT)
    assert found == {**record, "format": FORMAT, "version": FORMAT_VERSION}


@given(record=records, data=st.data())
def test_a_flipped_bit_is_damage_unless_it_spells_the_same(record, data):
    content = bytearray(sealed(record))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = unseal(bytes(content), "x.json", FORMAT)
    except DamagedStore as error:
        assert str(error).startswith("x.json ")
    else:  # the hex digits of \u00e4 may be of either case, and so may the e of 1e5
        assert content.lower() == sealed(record).lower()
        assert canonical(found) == canonical(
            {**record, "format": FORMAT, "version": FORMAT_VERSION}
        )


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"5", b"null", b"{}", b"\xff", b'{"checksum": "0", "x": NaN}', b"[" * 100],
)
def test_what_is_no_record_is_damage(content):
    with pytest.raises(DamagedStore, match=r"^x\.json is not a readable record"):
        unseal(content, "x.json", FORMAT)


def test_another_format_and_a_later_version_say_so():
    with pytest.raises(DamagedStore, match="format 'actlas-run', expected 'actlas-store'"):
        unseal(seal({"format": "actlas-run", "version": FORMAT_VERSION}), "x.json", FORMAT)
    with pytest.raises(DamagedStore, match="version '2'; this actlas reads 1: update actlas"):
        unseal(seal({"format": FORMAT, "version": 2}), "x.json", FORMAT)


@given(record=records)
def test_identity_does_not_see_the_order_of_keys(record):
    turned = dict(reversed(record.items()))
    assert identity(turned) == identity(record)
    assert len(identity(record)) == 16


@given(record=records, key=st.text())
def test_identity_sees_every_field(record, key):
    assert identity({**record, key: "one"}) != identity({**record, key: "other"})


def test_numbers_that_json_lacks_have_no_identity():
    with pytest.raises(ValueError, match="not JSON compliant"):
        identity({"factor": float("nan")})


def test_commits_survive_json(stored):
    for commit in stored.records:
        assert CommitRecord.from_json(json.loads(canonical(commit.to_json()))) == commit
