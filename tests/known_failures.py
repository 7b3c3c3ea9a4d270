"""Tests that are known to fail, each with the reason: shown as xfail in every run, to be emptied.

A row is a fault that is open, or a test that was not adapted to a merge. None is to be added for good.
"""

import pytest

NEWER = "a record of a later version of actlas is not yet left alone by every command"
MERGE = "not adapted yet to the merge of sealed results, label records and views"

#: beginning of a test's id → reason
KNOWN = {
    **{
        f"tests/faults/test_newer.py::test_a_record_of_a_later_version_is_refused_and_left_alone[actlas-{kind}]": NEWER
        for kind in ("commit", "labels", "name")
    },
    "tests/store/test_packing.py::test_a_file_with_both_kinds_of_damage_keeps_its_other_units": MERGE,
    "tests/store/test_label_record.py": MERGE,
    "tests/store/test_damage.py": MERGE,
    "tests/store/test_relabelling.py": MERGE,
    "tests/scripts/test_relabel.py": MERGE,
    "tests/faults/test_faults.py": MERGE,
    "tests/scripts/test_export.py::test_wrong_usage_is_one_line_and_leaves_nothing[arguments4": MERGE,
    "tests/scripts/test_words.py::test_words_of_any_script[nfd-cafe-1]": MERGE,
    "tests/scripts/test_output.py::test_lines_fit_a_terminal[downstream": "its table is some columns too wide",
}


def mark(items):
    """Mark the known failures among collected tests."""
    for item in items:
        for beginning, reason in KNOWN.items():
            if item.nodeid.startswith(beginning):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
