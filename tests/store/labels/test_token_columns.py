"""Label columns on tokens: replaced apart from those of sentences, cut with the tokens."""

import numpy as np
import pytest

from actlas.store.errors import InputError
from actlas.store.labels.relabel import label_change, relabel
from actlas.store.writing.export import export
from actlas.store.writing.selection import Selection
from tests.store.labels.label_files import SMALL
from tests.store.making import make_run


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, column in wanted.items():
        np.testing.assert_array_equal(found[name], column)


def test_labels_of_sentences_and_of_tokens_are_replaced_apart(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    before, tokens = dict(run.columns), np.arange(SMALL.labels.tokens)
    assert relabel(run, None, "tokens", {"pos": tokens}).summary == "pos added"
    same(run.columns, before)
    assert relabel(run, {"kind": np.arange(3)}, "sentences").added == ("kind",)
    same(run.token_columns, {"pos": tokens})
    assert relabel(run, None, "again", {"pos": tokens}) is None
    assert relabel(run, None, "nothing given") is None
    with pytest.raises(InputError, match="'kind' is of sentences and of tokens: rename one"):
        relabel(run, None, "clash", {"kind": tokens})
    change = relabel(run, {}, "moved", {"kind": tokens})
    assert (change.added, change.removed) == (("kind",), ("kind", "pos"))
    assert label_change(run, None, {}).removed == ("kind",)


def test_an_export_of_some_tokens_has_the_labels_of_those(tmp_path):
    run = make_run(tmp_path / "store", SMALL)
    relabel(run, None, "tokens", {"pos": np.arange(SMALL.labels.tokens)})
    chosen = np.array([0, 2, 3])
    exported, _ = export(run, tmp_path / "out.h5", Selection(tokens=chosen))
    assert exported.dataset()["pos"].values.tolist() == chosen.tolist()
