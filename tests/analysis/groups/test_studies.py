"""Every study takes groups, shows their table, and refuses what means nothing to it."""

import numpy as np
import pytest

from actlas.analysis import registry
from actlas.analysis.declaring.group_tables import group_tables
from actlas.analysis.declaring.groups import GroupStudy
from actlas.scripts.analyses.asked import Asked
from actlas.scripts.analyses.command import command_of
from actlas.scripts.terminal.shown import text_of
from actlas.store.errors import UsageError
from tests import commands
from tests.analysis.groups.answering import answering_run, without_a_head
from tests.store.laws import variant_of

GROUPS = ("her=her", "before=her@-1")
CHOICES = {"by": "COLUMN", "group": "NAME=CONDITION", "contrast": "A:B", "match": None}
#: what studies of an answer are asked: the tokens before those of id 3, the words of three letters
OPTIONS = {"attribute": {"answer": "t3"}, "triangulate": {"answer": "t3"}}
NAMES = (*CHOICES, "cluster", "first_token", "pool", "seed", "bootstrap", "target", "control")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and variants whose layer 1 is skipped or that lack a head, without a model."""
    store = tmp_path_factory.mktemp("groups") / "store"
    run, content = answering_run(store)
    return run, variant_of(store, run, content), without_a_head(store, run, content)


def computed(runs, name, **options):
    """Return the result of a study as its tables take it, and what it finds."""
    study, (run, skipped, removed) = registry.find(name), runs
    variants = () if study.variants in ("none", "baseline") else (skipped,)
    variants = (removed,) if name == "triangulate" else variants
    asked = Asked(study, study.options(**OPTIONS.get(name, {}), **options), run, variants)
    lazy = study.compute(asked.subject, asked.options)
    result = lazy.compute().assign_attrs({**asked.recorded, **lazy.attrs})
    return result, study.findings(result, asked.subject), asked


@pytest.mark.parametrize("name", registry.names())
def test_every_study_takes_groups_and_shows_their_table(runs, name):
    study = registry.find(name)
    assert isinstance(study, GroupStudy)
    assert set(NAMES) <= {parameter.name for parameter in command_of(study).params}
    result, findings, asked = computed(runs, name, group=GROUPS, bootstrap=20)
    shown = "\n".join(map(text_of, [*group_tables(result), *study.overview(result, asked.subject)]))
    lines = [line.split() for line in shown.splitlines()]
    assert ["group", "tokens", "sentences", "clusters", "mean", "position"] in lines
    assert ["her", "6", "6", "6", "2.17"] in lines
    assert ["before", "6", "6", "6", "1.17"] in lines
    assert result["contrast"].values.tolist() == ["her:before"]
    intervals = [key for key in result if key.endswith("_contrast_interval")]
    assert intervals
    for key in intervals:
        lower, upper = (result[key].sel(bound=end) for end in ("lower", "upper"))
        assert bool((lower <= upper).where(lower.notnull(), True).all())
    assert any("over clusters" in line for line in findings)
    assert [table.rows for table in study.tables(result)]
    assert asked.recorded["group"] == GROUPS
    assert "her before" in study.words(asked.options)


@pytest.mark.parametrize("name", registry.names())
def test_figures_are_drawn_of_any_groups(runs, name):
    study = registry.find(name)
    result, _, asked = computed(runs, name, group=("her=her",), bootstrap=0)
    figures = study.figures(result, asked.subject, asked.options)
    assert figures
    assert ("her" in result["group"].values) and ("rest" in result["group"].values)
    assert not [key for key in result if key.endswith("_interval")]


@pytest.mark.parametrize("name", registry.names())
def test_every_study_says_what_is_wrong_in_one_line(runs, name):
    for options, message in (
        ({"group": ("object",)}, "expected NAME=CONDITION, such as singular=a|an"),
        ({"group": ("x=uses:object",)}, "unknown condition or column 'uses'"),
        ({"group": ("x=hers",)}, "occurs in none of the 6 sentences"),
        ({"group": GROUPS, "cluster": "template"}, "unknown column of clusters 'template'"),
        ({"group": GROUPS, "contrast": ("her:mine",)}, "unknown group in --contrast 'mine'"),
        ({"group": ("x=key|cup@-1",), "first_token": "include"}, None),
        ({"by": "use"}, "unknown label column 'use'"),
        ({"group": ("a=position:1", "b=position:2"), "match": "position"}, "position altogether"),
    ):
        if message is None:
            assert computed(runs, name, **options, bootstrap=0)
            continue
        with pytest.raises(UsageError) as error:
            computed(runs, name, **options)
        assert message in str(error.value)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("choice", ["group", "include"])
@pytest.mark.parametrize("name", registry.names())
def test_every_study_has_one_spelling_for_the_first_token(runs, name, choice):
    """Left out, apart, or like any other: the groups of all tokens say which."""
    options = {"group": ("short=length:1-4", "her=her"), "first_token": choice, "bootstrap": 0}
    result, _, _ = computed(runs, name, **options)
    short = result["group_tokens"].sel(group="short").item()
    assert short == (23 if choice == "include" else 18)
    names = set(result["group"].values)
    if registry.find(name).every:
        assert ("all tokens" if choice == "include" else "later tokens") in names
        assert ("first token" in names) == (choice == "group")


def test_what_means_nothing_to_a_study_is_refused_with_the_reason():
    refusing = [name for name in registry.names() if registry.find(name).options.refused]
    answered = ["attribute", "triangulate"]
    assert refusing == sorted([*answered, "heads", "histogram", "lens", "norms", "reconstruct"])
    for name in refusing:
        options = registry.find(name).options
        with pytest.raises(UsageError, match=r"^pool: .* one|^pool: "):
            options(**OPTIONS.get(name, {}), pool="mean")
        (hidden,) = [each for each in command_of(registry.find(name)).params if each.name == "pool"]
        assert hidden.hidden


def test_target_and_control_have_the_numbers_of_their_groups(runs):
    """Where each sentence has the word once, both spellings are of the same tokens."""
    by_word, _, _ = computed(runs, "variance", target="her", bootstrap=50)
    groups = ("target=her", "control=her@-1")
    by_group, _, _ = computed(runs, "variance", group=groups, bootstrap=50)
    for name in ("variance", "mean", "variance_interval", "variance_contrast_interval"):
        np.testing.assert_array_equal(by_word[name], by_group[name])


def test_the_level_of_chance_is_computed_and_said(runs):
    result, findings, _ = computed(runs, "cosine", target="her", bins=9, bootstrap=30)
    np.testing.assert_allclose(result["chance"], 0.3395, atol=2e-4)  # of 6 clusters
    assert any(
        "unrelated features would have a mean |cosine| of target 0.340" in f for f in findings
    )
    inside = (result["mean_abs_interval"].sel(bound="lower") <= result["mean_abs"]) & (
        result["mean_abs"] <= result["mean_abs_interval"].sel(bound="upper")
    )
    assert inside.mean() > 0.9
    centred, _, _ = computed(runs, "cosine", target="her", bins=9, bootstrap=0, center=True)
    np.testing.assert_allclose(centred["chance"], 0.375, atol=2e-4)


def test_correlations_of_groups_are_those_of_their_tokens(runs):
    result, _, asked = computed(runs, "reconstruct", group=GROUPS, bootstrap=0)
    resid = asked.subject.dataset["resid"].values.astype(np.float64)
    place = result["group"].values.tolist().index("before")
    tokens = result["member_token"].values[result["member_group"].values == place]
    for pair in result["pair"].values:
        one, other = (resid[pair + step, tokens].ravel() for step in (0, 1))
        got = float(result["group_correlation"].sel(group="before", pair=pair))
        np.testing.assert_allclose(got, np.corrcoef(one, other)[0, 1], rtol=1e-9)


@pytest.mark.slow
def test_a_command_prints_the_table_and_writes_the_groups(runs):
    folder = runs[0].folder.parent.parent.parent
    options = ["--group", "her=her", "--group", "before=her@-1"]
    done = commands.run(folder, "variance", "it", "--store", "store", *options)
    assert done.returncode == 0, done.stderr
    assert "Groups of tokens\ngroup   tokens  sentences  clusters  mean position" in done.stdout
    assert "compared are her:before" in done.stdout


@pytest.mark.parametrize(("name", "control", "said"), [
    ("variance", "previous", "; control: the token before the target"),
    ("cosine", "matched", "; control: a token at the target's position in another sentence"),
    ("lens", "random", "; control: a random earlier token of the sentence"),
])  # fmt: skip
def test_tables_that_compare_target_and_control_say_which_it_is(runs, name, control, said):
    result, _, _ = computed(runs, name, target="her", control=control, bootstrap=20)
    tables = registry.find(name).tables(result)
    assert [table.caption.endswith(said) for table in tables] == [True] * len(tables)
    assert group_tables(result)[0].caption == f"Groups of tokens{said}"
    last = tables[-1]
    assert (last.header[0], last.header[-3:]) == ("contrast", ("difference", "95 % from", "to"))
    assert {row[0][0] for row in last.rows} == {"target − control"}
    plain, _, _ = computed(runs, name, group=GROUPS, bootstrap=0)
    assert not any("control:" in table.caption for table in registry.find(name).tables(plain))


def test_sizes_of_changes_and_steps_are_those_of_a_token(runs):
    result, _, _ = computed(runs, "downstream", bootstrap=0)
    (table, *_) = registry.find("downstream").tables(result)
    place = table.header.index(f"RMS at {int(result['depth'][-1])}")
    change = result["delta"].isel(variant=0, depth=-1) ** 2 / int(result["group_tokens"][0])
    np.testing.assert_allclose(table.rows[0][place][1], np.sqrt(change), rtol=1e-9)
    assert table.header[-1] == "change of loss"
    result, _, asked = computed(runs, "norms", bootstrap=0)
    table = registry.find("norms").overview(result, asked.subject)[0]
    later = result.sel(group="later tokens")
    steps = [row[table.header.index("step")][1] for row in table.rows][1:]
    whole = later["step"].sel(depth=[row[0][1] for row in table.rows][1:])
    np.testing.assert_allclose(steps, whole / np.sqrt(float(later["tokens"])), rtol=1e-9)
