"""Every family against its oracle: all sites, edits, starts in the middle, padding."""

import json
import warnings
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import load_file

from actlas.pipeline.models.folder import resolve
from actlas.store import UsageError
from actlas.store.maintenance.verify import verify
from tests.extraction import extract_texts, extract_variant
from tests.families.oracle import activations
from tests.families.tiny import TINY, save_tiny

TEXTS = (
    "Mary lost her key in the garden.",
    "We saw her.",
    "When the rain began, Tom gave her a coat.",
    "her",
)
TOLERANCE = 3e-5  # of a site's largest value, float32
UNIT_TOKENS = 90  # so that sentences of different lengths share a batch
FACTOR = 0.5
#: edits that a family has a place for are tried: text, and the site that the oracle changes
EDITS = (
    ("scale:layer=1,factor=0.5", "resid", 2),
    ("scale:site=resid,depth=0,factor=0.5", "resid", 0),
    ("scale:site=resid_mid,layer=1,factor=0.5", "resid_mid", 1),
    ("scale:site=q,layer=1,factor=0.5", "q", 1),
    ("scale:site=k,layer=2,factor=0.5", "k", 2),
    ("scale:site=v,layer=0,factor=0.5", "v", 0),
    ("scale:site=z,layer=2,factor=0.5", "z", 2),
    ("scale:site=q_normed,layer=1,factor=0.5", "q_normed", 1),
    ("scale:site=k_normed,layer=1,factor=0.5", "k_normed", 1),
    ("scale:site=attn_out,layer=1,factor=0.5", "attn_out", 1),
    ("scale:site=mlp_pre,layer=1,factor=0.5", "mlp_pre", 1),
    ("scale:site=mlp_up,layer=1,factor=0.5", "mlp_up", 1),
    ("scale:site=mlp_post,layer=0,factor=0.5", "mlp_post", 0),
    ("scale:site=mlp_out,layer=2,factor=0.5", "mlp_out", 2),
)
REFUSED = "phi3-longrope"  # its angles depend on the longest sentence of a batch
NAMES = [name for name in TINY if name != REFUSED]
#: one of each type, and the others in the slow set
TYPES = [pytest.param(name, marks=pytest.mark.slow) if "-" in name else name for name in NAMES]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return name → folder of a tiny model, each made once."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = save_tiny(root / name, name)
        return made[name]

    return folder


def attentions(folder):
    wanted = resolve(str(folder)).architecture.family.attention
    return ("sdpa", "eager") if wanted == "any" else (wanted,)


def oracle_of(folder, run, change=lambda _site, _index, value: value):
    """Return site → array of all sentences of ``run``, tokens side by side."""
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    ids = np.split(run.labels.token["token_id"], np.cumsum(run.labels.row_size)[:-1])
    return [activations(config, weights, each.tolist(), change) for each in ids]


def compare(folder, run, change=lambda _site, _index, value: value, but=()):
    dataset = run.dataset(check=True).drop_vars(but)
    expected = oracle_of(folder, run, change)
    for site in dataset.data_vars:
        got = dataset[site]
        axis = got.dims.index("token")
        ends = np.cumsum([0, *run.labels.row_size])
        for sentence, (start, end) in zip(expected, pairwise(ends), strict=True):
            part = np.take(got.values, np.arange(start, end), axis=axis)
            wanted = sentence[site]
            if site == "pattern":
                part = part[..., : end - start]
            assert part.shape == wanted.shape, site
            known = ~np.isnan(wanted)
            assert (np.isnan(part) == ~known).all(), site
            scale = np.abs(wanted[known]).max(initial=1e-9)
            error = np.abs(part - wanted)[known].max(initial=0) / scale
            assert error < TOLERANCE, (site, error)


@pytest.mark.parametrize("name", NAMES)
def test_every_site_is_the_oracles(folders, tmp_path, name):
    folder = folders(name)
    for attention in attentions(folder):
        sites = tuple(resolve(str(folder)).architecture.available(attention))
        run, _ = extract_texts(
            tmp_path / attention, folder, TEXTS, sites, attention=attention, unit_tokens=UNIT_TOKENS
        )
        compare(folder, run)
        assert not any(checked.problems for checked in verify(run))


@pytest.mark.parametrize("name", TYPES)
def test_every_edit_is_the_oracles(folders, tmp_path, name):
    """A variant starts in the middle, from its baseline's residual stream."""
    folder = folders(name)
    architecture = resolve(str(folder)).architecture
    rows = architecture.family.rows
    sites = tuple(architecture.available(attentions(folder)[0]))
    for text, site, index in EDITS:
        if site not in rows:
            continue

        def change(where, at, value, site=site, index=index):
            return value * FACTOR if (where, at) == (site, index) else value

        run = extract_variant(
            tmp_path / "store", folder, TEXTS, [text], sites, unit_tokens=UNIT_TOKENS
        )
        # the stream after attention is changed through what attention adds
        in_sum = rows[site].edit == "attn_out"
        compare(folder, run, change, but=("attn_out",) if in_sum else ())
        if in_sum:
            dataset = run.dataset()
            total = dataset["resid"][index].values + dataset["attn_out"][index].values
            np.testing.assert_allclose(total, dataset["resid_mid"][index], atol=1e-5)


@pytest.mark.parametrize("name", TYPES)
def test_zero_of_a_key_head_is_one_of_its_own_heads(folders, tmp_path, name):
    folder = folders(name)
    architecture = resolve(str(folder)).architecture
    head = architecture.geometry.n_kv_head - 1
    run = extract_variant(
        tmp_path / "store", folder, TEXTS, [f"zero:site=v,layer=1,head={head}"], ("v", "z", "resid")
    )

    def change(site, index, value):
        if (site, index) == ("v", 1):
            value = value.copy()
            value[:, head] = 0
        return value

    compare(folder, run, change)


@pytest.mark.parametrize("name", TYPES)
def test_a_skipped_layer_passes_its_input_on(folders, tmp_path, name):
    folder = folders(name)
    layers = resolve(str(folder)).geometry.n_layer
    for layer in (0, layers - 1):
        run = extract_variant(
            tmp_path / "store", folder, TEXTS, [f"skip:layer={layer}"], ("resid", "mlp_out")
        )
        resid = run.dataset(check=True)["resid"].values
        np.testing.assert_array_equal(resid[layer + 1], resid[layer])


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_are_one_model(folders, tmp_path, name):
    from tests.families.tiny import spelled_5

    folder = folders(name)
    other = tmp_path / "other"
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).symlink_to(path)
    (other / "config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(spelled_5(config)))
    one, two = resolve(str(folder)), resolve(str(other))
    assert one.effective == two.effective
    assert one.config_digest == two.config_digest
    run, _ = extract_texts(tmp_path / "store", other, TEXTS[:2], ("resid",))
    compare(other, run)


def test_angles_by_the_longest_sentence_are_refused(folders):
    with pytest.raises(UsageError, match=r"type 'longrope' depend on the longest sentence"):
        resolve(str(folders(REFUSED))).geometry  # noqa: B018  # what is looked up raises
