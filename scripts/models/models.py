"""``actlas models``: the families that are read, their sites, and what is refused of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from actlas.scripts.terminal.options import json_option
from actlas.scripts.terminal.sections import SectionedCommand
from actlas.scripts.terminal.text import echo_json, table
from actlas.store.errors import unknown

if TYPE_CHECKING:
    from actlas.pipeline.models.family import Family, Row
    from actlas.pipeline.models.sites import Site

#: ``model_type`` → models that people know
EXAMPLES = {
    "gpt2": "GPT-2 small to XL, DistilGPT-2",
    "gpt_neo": "TinyStories, GPT-Neo",
    "gpt_neox": "Pythia, GPT-NeoX-20B",
    "gptj": "GPT-J-6B",
    "phi": "Phi-1, Phi-1.5, Phi-2",
    "llama": "Llama 1 to 3, TinyLlama, SmolLM",
    "mistral": "Mistral 7B, Nemo",
    "qwen2": "Qwen 2 and 2.5",
    "qwen3": "Qwen 3 (dense)",
    "phi3": "Phi-3 mini 4k, Phi-4",
    "olmo2": "OLMo 2",
    "gemma": "Gemma 1",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3 1B",
    "gemma3": "Gemma 3 4B to 27B, their text part",
    "bert": "BERT",
    "roberta": "RoBERTa",
}
#: how an edit reaches all who read a site
EDITS = {"here": "yes", "whole": "whole site only", "attn_out": "through attn_out", "no": "no"}
REFUSED = (
    "Refused of every family: quantised weights, adapters, code of the model's own, weights that "
    "are NaN or infinite, a tokenizer of which transformers has no fast form."
)


@click.command(
    "models",
    cls=SectionedCommand,
    examples=[
        "actlas models",
        "actlas models gpt2",
    ],
)
@click.argument("model_type", metavar="[TYPE]", required=False)
@json_option
def command(model_type: str | None, as_json: bool) -> None:
    """List the families of models that are read; of TYPE, its sites.

    TYPE is the `model_type` in a model's config.json.
    """
    from actlas.pipeline.models.registry import FAMILIES

    if model_type is None:
        records = [_record(family) for family in FAMILIES.values()]
        echo_json({"families": records}) if as_json else click.echo(_overview(records))
        return
    if model_type not in FAMILIES:
        raise unknown("model type", model_type, FAMILIES)
    family = FAMILIES[model_type]
    sites = _sites(family)
    if as_json:
        echo_json({**_record(family), "sites": sites})
    else:
        click.echo(_whole(family, sites))


def _record(family: Family) -> dict[str, Any]:
    return {
        "model_type": family.model_type,
        "examples": EXAMPLES[family.model_type],
        "law": family.law,
        "causal": family.causal,
        "attention": "sdpa or eager" if family.attention == "any" else family.attention,
    }


def _overview(records: list[dict[str, Any]]) -> str:
    header = ("type", "for instance", "law", "causal", "attention")
    rows = [
        (each["model_type"], each["examples"], each["law"], _yes(each["causal"]), each["attention"])
        for each in records
    ]
    return f"{table(header, rows)}\n\n{REFUSED}\nSites of a family: actlas models TYPE"


def _sites(family: Family) -> list[dict[str, Any]]:
    """Return the sites that a family has, as a model with all its options has them."""
    from actlas.pipeline.models.sites import SITES

    rows: dict[str, Row | None] = {name: family.rows.get(name) for name in SITES}
    # these have no row: the stream is read at blocks, the loss made of what the final norm gives
    rows["resid"] = family.last
    if family.causal:
        rows["nll"] = family.rows.get("final_norm")
    return [_site(SITES[name], row) for name, row in rows.items() if row is not None]


def _site(site: Site, row: Row) -> dict[str, Any]:
    return {
        "site": site.name,
        "dims": list(site.dims),
        "edit": EDITS[row.edit] if site.editable else "no",
        "transformer_lens": list(site.aliases),
        "meaning": site.description,
    }


def _whole(family: Family, sites: list[dict[str, Any]]) -> str:
    rows = [
        (each["site"], ", ".join(each["dims"]), each["edit"], each["meaning"]) for each in sites
    ]
    record = _record(family)
    lines = [
        f"{record['model_type']}: {record['examples']}",
        f"law of the residual stream: {record['law']}; attention: {record['attention']}",
    ]
    if not family.causal:
        lines.append("a token sees the whole sentence: there is no next-token loss")
    return "\n".join([*lines, "", table(("site", "dims", "edit", "meaning"), rows)])


def _yes(value: bool) -> str:
    return "yes" if value else "no"
