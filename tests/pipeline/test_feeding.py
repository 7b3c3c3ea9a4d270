"""``Run.to_torch``: every token once an epoch, in an order that the seed decides."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch.utils.data import DataLoader

from actlas.store import UsageError
from tests.store.making import Content, make_run

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than cores

UNITS = tuple(
    tuple(int(size) for size in np.random.default_rng(unit).integers(1, 9, 12))
    for unit in range(12)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    content = Content(UNITS, dtypes={"resid": "float32", "q": "float16", "nll": "float32"})
    return make_run(tmp_path_factory.mktemp("fed") / "store", content, "it")


def epoch(dataset, workers=0):
    """Return the rows and token indices of an epoch, one after the other."""
    parts = list(DataLoader(dataset, batch_size=None, num_workers=workers))
    return torch.cat([rows for rows, _ in parts]), torch.cat([tokens for _, tokens in parts]), parts


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("site", "layer"), [("resid", 3), ("q", 1), ("nll", None)])
def test_every_token_comes_once_an_epoch(run, site, layer, workers):
    rows, tokens, parts = epoch(run.to_torch(site, layer, 16, pool=64), workers)
    assert sorted(tokens.tolist()) == list(range(run.tokens))
    stored = run.dataset(site)[site]
    stored = stored if layer is None else stored.isel({stored.dims[0]: layer})
    np.testing.assert_array_equal(rows, stored.isel(token=tokens.numpy()))
    assert all(len(rows) == len(tokens) <= 16 for rows, tokens in parts)
    assert sum(len(rows) < 16 for rows, _ in parts) <= max(workers, 1)


def test_labels_of_a_batch_are_those_of_its_tokens(run):
    dataset = run.dataset("resid")
    rows, tokens = next(iter(run.to_torch("resid", 0, 8)))
    labelled = dataset["resid"].isel(depth=0, token=tokens.numpy())
    np.testing.assert_array_equal(rows, labelled)
    assert set(labelled["sentence"].values) <= set(dataset["sentence"].values)


def test_the_seed_and_the_epoch_decide_the_order(run):
    def order(seed, number=0):
        dataset = run.to_torch("resid", 1, 16, seed=seed, pool=64)
        dataset.set_epoch(number)
        return epoch(dataset)[1].tolist()

    assert order(1) == order(1)
    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*key)) for key in [(0, 0), (1, 0), (0, 1)]}) == 3


def test_workers_that_live_on_see_the_next_epoch(run):
    dataset = run.to_torch("resid", 1, 16, pool=64)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for number in range(2):
        dataset.set_epoch(number)
        orders.append(torch.cat([tokens for _, tokens in loader]).tolist())
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(run.tokens))


@pytest.mark.parametrize("seed", range(5))
def test_the_rows_of_a_batch_come_from_all_over_the_run(run, seed):
    dataset = run.to_torch("nll", None, 16, seed=seed, pool=run.tokens // 3)
    distances = [
        np.abs(tokens.numpy()[:, None] - tokens.numpy())[np.triu_indices(len(tokens), 1)].mean()
        for _, tokens in dataset
        if len(tokens) > 1
    ]
    assert np.mean(distances) > 0.75 * run.tokens / 3  # of a uniform order: a third of all tokens


def test_only_the_tokens_asked_for_come(run):
    dataset = run.dataset("resid")
    later = dataset["position"] > 0
    wanted = np.flatnonzero(later)
    for where in (later, later.values, wanted, xr.DataArray(wanted, dims="token")):
        fed = run.to_torch("resid", 2, 16, where=where, pool=32)
        assert fed.tokens == len(wanted)
        assert sorted(epoch(fed)[1].tolist()) == wanted.tolist()


def test_a_condition_names_the_tokens(run):
    labels = run.dataset("resid")
    for text, wanted in (
        ("position:2-9", labels["position"] > 1),
        ("mine=position:0", labels["position"] == 0),
        ("position:1@-1", (labels["position"] == 0) & (labels["position"].shift(token=-1) == 1)),
    ):
        fed = run.to_torch("resid", 2, 16, where=text)
        assert sorted(epoch(fed)[1].tolist()) == np.flatnonzero(wanted).tolist()


def test_memory_of_a_batch_is_not_given_out_while_a_part_of_it_is_held(run):
    stored = run.dataset("resid")["resid"].isel(depth=3)
    parts, places = [], set()
    for rows, tokens in run.to_torch("resid", 3, 16, pool=64):
        places.add(rows.data_ptr())
        part = rows[2:4] if len(parts) % 2 else rows.numpy()[1:3, :2]
        first = 2 if len(parts) % 2 else 1
        parts.append((part, tokens[first : first + 2]))
        if len(parts) == 5:
            break
    del rows
    for later, _ in run.to_torch("resid", 3, 16, pool=64):
        later.fill_(-1)
    for part, tokens in parts:
        expected = stored.isel(token=tokens.numpy())[:, : part.shape[1]]
        np.testing.assert_array_equal(part, expected)
    assert len(places) == 5
    fed = [rows.data_ptr() for rows, _ in run.to_torch("resid", 3, 16, pool=64)]
    assert len(set(fed)) < len(fed)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("mlp",), {}, "no such site yet"),
        (("resid", 4), {}, "resid of run it has depth 0-3, got 4"),
        (("q", None), {}, "q of run it has layer 0-2, got None"),
        (("nll", 0), {}, "nll has no layers: expected layer=None, got 0"),
        (("q", 0, 0), {}, "expected a batch and a pool of at least 1 token, got 0"),
        (("q", 0), {"where": [1, 1]}, "names a token twice"),
        (("q", 0), {"where": []}, "expected a boolean on the run's"),
        (("q", 0), {"where": np.zeros(3, bool)}, "expected a boolean on the run's"),
        (("q", 0), {"where": [-1, 3]}, "expected indices from 0 to"),
        (("q", 0), {"where": [0.5]}, "got float64 of shape"),
        (("q", 0), {"where": "position:90"}, "position:90 matches none of the"),
        (("q", 0), {"where": "colour:red"}, "unknown condition or column 'colour'"),
    ],
)
def test_what_cannot_be_fed_is_refused(run, arguments, options, message):
    with pytest.raises(UsageError, match=message):
        run.to_torch(*arguments, **options)


def test_none_chosen_is_refused(run):
    with pytest.raises(UsageError, match="where chooses no token"):
        run.to_torch("q", 0, where=np.zeros(run.tokens, bool))
    with pytest.raises(UsageError, match="from 0 on, got -1"):
        run.to_torch("q", 0).set_epoch(-1)
