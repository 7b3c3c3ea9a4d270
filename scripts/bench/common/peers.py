"""How each peer does the job of scripts/bench/peers.py, as its documentation would have it.

It also holds how the files of each are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SITES = ("resid", "q", "k", "v", "attn_out", "mlp_out")

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Work = Callable[[IntArray, Path], None]


def work_of(adapter: str, model: Path, loss: bool) -> Work:
    """Load the model as ``adapter`` does and return the job.

    Token ids (sentence, position) and a new folder to fill. loss: of each token too.
    """
    return ADAPTERS[adapter](model, loss)


def trunk(folder: Path, loss: bool) -> Work:
    """The forward pass alone, nothing kept; with the loss, logits too."""
    return partial(_trunk, _transformers(folder), loss)


def _trunk(model: Any, loss: bool, token_ids: IntArray, out: Path) -> None:
    import torch

    with torch.inference_mode():
        _forward(model, loss, torch.from_numpy(token_ids))
    out.mkdir(parents=True)


def _forward(model: Any, loss: bool, ids: Any) -> dict[str, Any]:
    """Run the model; return the loss of each token but the first of its sentence, if asked."""
    if loss:
        return {"nll.0": token_losses(model(ids, use_cache=False).logits, ids)}
    model.transformer(ids, use_cache=False)
    return {}


def token_losses(logits: Any, ids: Any) -> Any:
    """Return −ln p of each token but the first, (sentence, position), of whole logits."""
    from torch.nn.functional import cross_entropy

    found = cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return found.reshape(len(ids), -1)


def notebook(folder: Path, loss: bool) -> Work:
    """Hooks, a dict of tensors, ``np.save``."""
    return partial(_notebook, _transformers(folder), loss)


def _notebook(model: Any, loss: bool, token_ids: IntArray, out: Path) -> None:
    import torch

    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: Any, _given: Any, output: torch.Tensor) -> None:
            found[name] = output.detach()

        return hook

    def keep_input(name: str) -> Callable[..., None]:
        def hook(_module: Any, given: tuple[torch.Tensor, ...]) -> None:
            found[name] = given[0].detach()

        return hook

    blocks, handles = model.transformer.h, []
    for number, block in enumerate(blocks):
        handles.append(block.ln_1.register_forward_pre_hook(keep_input(f"resid.{number}")))
        handles.append(block.attn.c_attn.register_forward_hook(keep(f"qkv.{number}")))
        handles.append(block.attn.c_proj.register_forward_hook(keep(f"attn_out.{number}")))
        handles.append(block.mlp.c_proj.register_forward_hook(keep(f"mlp_out.{number}")))
    handles.append(
        model.transformer.ln_f.register_forward_pre_hook(keep_input(f"resid.{len(blocks)}"))
    )
    try:
        with torch.no_grad():
            found |= _forward(model, loss, torch.from_numpy(token_ids))
    finally:
        for handle in handles:
            handle.remove()
    _save(found, out, model.config.n_head)


def nnsight(folder: Path, loss: bool) -> Work:
    """A trace, every value saved."""
    from nnsight import NNsight

    model = _transformers(folder)
    return partial(_nnsight, NNsight(model), model.config, loss)


def _nnsight(model: Any, config: Any, loss: bool, token_ids: IntArray, out: Path) -> None:
    import torch

    found: dict[str, torch.Tensor] = {}
    traced, ids = model if loss else model.transformer, torch.from_numpy(token_ids)
    with torch.no_grad(), traced.trace(ids, use_cache=False):
        for number, block in enumerate(model.transformer.h):
            found[f"resid.{number}"] = block.ln_1.input.save()
            found[f"qkv.{number}"] = block.attn.c_attn.output.save()
            found[f"attn_out.{number}"] = block.attn.c_proj.output.save()
            found[f"mlp_out.{number}"] = block.mlp.c_proj.output.save()
        found[f"resid.{config.n_layer}"] = model.transformer.ln_f.input.save()
        if loss:
            found["nll.0"] = token_losses(model.lm_head.output, ids).save()
    _save(found, out, config.n_head)


def transformer_lens(folder: Path, loss: bool) -> Work:
    """``run_with_cache`` of a bridge, weights not processed."""
    from transformer_lens.model_bridge import TransformerBridge

    model = _transformers(folder)
    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=model, tokenizer=_tokenizer(folder), device="cpu"
    )
    return partial(_transformer_lens, bridge, model.config.n_layer, loss)


def _transformer_lens(bridge: Any, blocks: int, loss: bool, token_ids: IntArray, out: Path) -> None:
    import torch

    names = {"resid": "hook_resid_pre", "q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_v"}
    names |= {"attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out"}
    # hook_resid_pre of layer l is depth l; the last depth is hook_resid_post of the last layer
    wanted = {
        f"blocks.{number}.{hook}": f"{site}.{number}"
        for site, hook in names.items()
        for number in range(blocks)
    }
    wanted[f"blocks.{blocks - 1}.hook_resid_post"] = f"resid.{blocks}"
    with torch.no_grad():
        returned, cache = bridge.run_with_cache(
            torch.from_numpy(token_ids),
            names_filter=list(wanted),
            **({"return_type": "loss", "loss_per_token": True} if loss else {"return_type": None}),
        )
    found = {name: cache[hook] for hook, name in wanted.items()}
    _save({**found, **({"nll.0": returned} if loss else {})}, out, 0)


def actlas(folder: Path, loss: bool) -> Work:
    """Plan, extract, commit; as `actlas extract` does after it has read the sentences."""
    import torch

    from actlas.pipeline.models.folder import load, resolve

    model_folder = resolve(str(folder))
    model = load(model_folder, dtype=torch.float32, device=torch.device("cpu"), attention="sdpa")
    return partial(_actlas, model, model_folder, loss)


def _actlas(model: Any, model_folder: Any, loss: bool, token_ids: IntArray, out: Path) -> None:
    from dataclasses import replace

    from actlas.pipeline.extraction.loop import extract_with
    from actlas.pipeline.extraction.options import ExtractOptions
    from actlas.pipeline.extraction.planning import make_plan
    from actlas.pipeline.inputs.tokens import Tokenized
    from actlas.scripts.bench.common.synthetic import labels_of
    from actlas.store.catalog import Store
    from actlas.store.labels.special import SpecialTokens

    labels = labels_of(*token_ids.shape)
    labels = replace(
        labels, token={**labels.token, "token_id": token_ids.reshape(-1).astype(np.int32)}
    )
    store = Store.create(out)
    options = ExtractOptions((*SITES, *(("nll",) if loss else ())), unit_tokens=token_ids.size)
    plan = make_plan(
        store, model_folder, Tokenized(labels, (), SpecialTokens(), ""), "random", options
    )
    run = store.add(plan.specification, plan.description, plan.units)
    extract_with(model, plan, store.name(run, "it"))


TRUNK = "trunk"
ADAPTERS: dict[str, Callable[[Path, bool], Work]] = {
    TRUNK: trunk,
    "notebook": notebook,
    "TransformerLens": transformer_lens,
    "nnsight": nnsight,
    "actlas": actlas,
}


def read_layer(adapter: str, out: Path, layer: int, tokens: int) -> FloatArray:
    """Return ``q`` of the middle token of each sentence at one layer, (token, head, d_head)."""
    middle = tokens // 2
    if adapter != "actlas":
        chosen: FloatArray = np.load(out / f"q.{layer}.npy", mmap_mode="r")[:, middle].copy()
        return chosen
    from actlas.store.catalog import Store

    dataset = Store(out).run("it").dataset(("q",), check=False)
    values: FloatArray = (
        dataset["q"]
        .isel(layer=layer, token=np.flatnonzero(dataset["position"].values == middle))
        .values
    )
    return values


def stored_site(adapter: str, out: Path, site: str, number: int) -> FloatArray:
    """Return one layer or depth of a site as that adapter stored it, (token · feature).

    Of ``nll`` those of the tokens that have one.
    """
    if adapter != "actlas":
        values: FloatArray = np.load(out / f"{site}.{number}.npy")
        return values.reshape(-1)
    from actlas.store.catalog import Store

    run = Store(out).run("it")
    found = run.rows(run.units[0], site, number).reshape(-1)
    return found[~np.isnan(found)]


def _save(found: dict[str, Any], out: Path, heads: int) -> None:
    """Save a file per site and layer; the fused q, k and v as three."""
    out.mkdir(parents=True)
    for name, tensor in found.items():
        site, number = name.split(".")
        if site != "qkv":
            np.save(out / f"{name}.npy", tensor.numpy())
            continue
        for part, each in zip("qkv", tensor.chunk(3, -1), strict=True):
            np.save(out / f"{part}.{number}.npy", each.unflatten(-1, (heads, -1)).numpy())


def _transformers(folder: Path) -> Any:
    import torch
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return GPT2LMHeadModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()


def _tokenizer(folder: Path) -> Any:
    """Return the demo model's tokenizer, put beside the model.

    The bridge wants one with a place, the job gives token ids.
    """
    from transformers import PreTrainedTokenizerFast

    from actlas.pipeline.models.folder import DEMO_FOLDER

    end = "<|endoftext|>"
    marks = {"bos_token": end, "eos_token": end, "pad_token": end}
    PreTrainedTokenizerFast(
        tokenizer_file=str(DEMO_FOLDER / "tokenizer.json"), **marks
    ).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)
