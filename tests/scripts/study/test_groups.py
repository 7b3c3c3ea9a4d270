"""Groups in a study file: once for all analyses, or an analysis' own; lists of words are read."""

import pytest

from actlas.scripts.study.file import read_study
from actlas.store.errors import UsageError

STUDY = """
[runs.it]
sentences = "her.txt"

[groups]
object = "her,use:object"
own = "her,use:own"

[analyses.norms]
[analyses.variance]
groups.met = "met.txt"

[analyses.histogram]
group = ["a=saw"]
groups.b = "met"

[analyses.cosine]
target = "her"
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "met.txt").write_text("saw\nmet\n")
    path = tmp_path / "its.toml"
    path.write_text(STUDY)
    return path


def groups(path):
    """Return the groups of each analysis."""
    return {each.name: each.stage.options.group for each in read_study(path).analyses}


def test_groups_are_shared_by_analyses_that_choose_none(study):
    assert groups(study) == {
        "norms": ("object=her,use:object", "own=her,use:own"),
        "variance": ("met=saw|met",),
        "histogram": ("a=saw", "b=met"),
        "cosine": (),
    }


def test_another_list_of_words_is_another_question(study):
    before = groups(study)
    (study.parent / "met.txt").write_text("met\n")
    assert groups(study) == {**before, "variance": ("met=met",)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"her,use:own"', "3", "[groups] own is 3, expected text"),
        ('"her,use:own"', '"her@x"', "its.toml [groups]: --group 'own=her@x': offset '@x'"),
        ("own =", "rest =", "[groups]: the group's name 'rest' is one that actlas uses itself"),
        ('"met.txt"', '"none.txt"', "[analyses.variance] groups: list of words"),
        ('["a=saw"]', '["saw"]', "[analyses.histogram] group: --group 'saw': expected NAME"),
        ('["a=saw"]', '"a=saw"', "unknown key 'groups'"),
        ("groups.b", "groups.a", "group 'a' is given twice"),
    ],
)
def test_what_is_no_group_is_refused_by_name(study, old, new, message):
    study.write_text(STUDY.replace(old, new))
    with pytest.raises(UsageError) as error:
        read_study(study)
    assert message in str(error.value)
