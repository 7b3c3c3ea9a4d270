"""Sites that follow from what is stored, computed when they are read.

- ``pattern`` = softmax(scale · q kᵀ), of what a query sees (Vaswani et al. 2017)
- ``z`` = pattern · v
- ``resid_mid`` = resid[l] + attn_out[l]
- ``head_out`` = z · w_o, what each head adds, with the output matrices of the model's readout

Each says in ``attrs["derived"]`` from what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dask.array as da
import xarray as xr

from actlas.store.errors import DamagedStore, UsageError, quoted
from actlas.store.format.schema import Json
from actlas.store.reading.attention import Rotary, ScoreRule, head_outputs, patterns, weighted
from actlas.store.readouts.readout import HeadReadout, ReadoutSource

#: site → what it is computed from, and how it is described
DERIVED: Mapping[str, str] = {
    "pattern": "attention weight of each position of the token's sentence",
    "z": "values weighted by attention, per head",
    "resid_mid": "residual stream between attention and MLP",
    "head_out": "what a head adds",
}
DIMS: Mapping[str, tuple[str, ...]] = {
    "pattern": ("layer", "token", "head", "key"),
    "z": ("layer", "token", "head", "d_head"),
    "resid_mid": ("layer", "token", "d_model"),
    "head_out": ("layer", "token", "head", "d_model"),
}


@dataclass(frozen=True)
class Derivation:
    """What follows from the sites that a run has.

    run: its name, for messages. stored: its sites. store: the folder of its store.
    """

    run: str
    specification: Json
    description: Json
    stored: tuple[str, ...]
    store: Path

    def needs(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Return the stored sites to read for ``wanted``.

        Raises UsageError, with the reason, for one that does not follow from what is stored.
        """
        found: dict[str, None] = {}
        for site in wanted:
            parts = (site,) if self._is_stored(site) else self._parts(site)
            found.update(dict.fromkeys(parts))
        return tuple(found)

    def added(self, dataset: xr.Dataset, wanted: Sequence[str]) -> xr.Dataset:
        """Return the sites ``wanted`` of a view of what they need; lazy.

        Raises UsageError for weights of attention where the view lacks tokens that have them.
        """
        if (kept := dataset.attrs.get("tokens")) is not None:
            for site in wanted:
                if not self._is_stored(site) and {"k", "k_rot", "k_normed", "v"} & {
                    *self._parts(site)
                }:
                    raise UsageError(
                        f"run {self.run}: {site} takes all tokens of a sentence, and of "
                        f"{' '.join(self._parts(site))} those of {quoted(kept)} alone are kept: "
                        "`actlas extract` without --tokens adds the others"
                    )
        found = {}
        for site in wanted:
            found[site] = dataset[site] if self._is_stored(site) else self._made(dataset, site)
        return dataset.drop_vars(list(dataset.data_vars)).assign(found)

    def _is_stored(self, site: str) -> bool:
        return site in self.stored or site not in DERIVED

    def _parts(self, site: str) -> tuple[str, ...]:
        """Return the stored sites that a derived one is made of."""
        if site == "resid_mid":
            return self._checked(site, ("resid", "attn_out"), self._no_middle())
        if site == "head_out":
            return self.needs(["z"])
        if site == "z":
            weights = ("pattern",) if "pattern" in self.stored else self._scored(site)
            return self._checked(site, (*weights, "v"), self._edited(site))
        return self._scored(site)

    def _scored(self, site: str) -> tuple[str, ...]:
        """Return the queries and keys as the scores have them."""
        facts, reason = self._attention, ""
        if self.specification["numerics"].get("mode") == "train":
            reason = "dropout changed the weights of attention while it was computed"
        elif not facts:
            reason = "its record does not say how its model scores keys"
        return self._checked(site, self._queries_and_keys, reason)

    @property
    def _queries_and_keys(self) -> tuple[str, str]:
        """What the scores are made of: as they are turned, where that is stored or all there is."""
        rotary, turned = self._attention.get("rotary"), ("q_rot", "k_rot")
        if not rotary:
            return "q", "k"
        try:
            known = all(each is not None for each in rotary["frequencies"])
            normed = bool(rotary["normed"])
        except (KeyError, TypeError) as error:
            raise self._damaged(error) from error
        if not known or all(site in self.stored for site in turned):
            return turned
        return ("q_normed", "k_normed") if normed else ("q", "k")

    def _checked(self, site: str, parts: tuple[str, ...], reason: str) -> tuple[str, ...]:
        missing = [part for part in parts if part not in self.stored]
        if not reason and missing:
            options = " ".join(f"--site {part}" for part in missing)
            reason = f"that takes {' '.join(missing)} too (`actlas extract … {options}` adds it)"
        if reason:
            raise UsageError(
                f"run {self.run} has no {site}, and it does not follow from what is stored: "
                f"{reason}; `actlas extract … --site {site}` stores it where the model has it"
            )
        return parts

    @property
    def _model(self) -> Mapping[str, Any]:
        found = self.description.get("model", {})
        return found if isinstance(found, dict) else {}

    @property
    def _attention(self) -> Mapping[str, Any]:
        found = self._model.get("attention", {})
        return found if isinstance(found, dict) else {}

    def _damaged(self, error: Exception) -> DamagedStore:
        return DamagedStore(
            f"run {self.run}: its record of attention is not valid ({str(error)[:200]}): restore "
            "run.json from a copy, or extract again"
        )

    def _no_middle(self) -> str:
        law = self._model.get("law", "")
        if law == "add":
            return ""
        return "attention and MLP are not added to it one after the other, with nothing between"

    def _edited(self, site: str) -> str:
        edits = self.specification.get("edits", [])
        edited = any(edit.get("site") == site for edit in edits)
        return f"an edit changed {site} itself" if edited else ""

    def _made(self, dataset: xr.Dataset, site: str) -> xr.DataArray:
        parts = self._parts(site)
        if site == "resid_mid":
            layers = dataset.sizes["depth"] - 1
            data = dataset["resid"].data[:layers] + dataset["attn_out"].data
        elif site == "pattern":
            data = self._pattern(dataset)
        else:
            z = dataset["z"].data if "z" in dataset else self._values(dataset)
            data = z if site == "z" else head_outputs(z, self._heads)
        described = {"long_name": DERIVED[site], "derived": f"from {' '.join(parts)}"}
        return xr.DataArray(data, dims=DIMS[site], name=site, attrs=described)

    @cached_property
    def _heads(self) -> HeadReadout:
        model, name = self.specification.get("model", {}), str(self._model.get("name", "MODEL"))
        return ReadoutSource(self.store, model, self.run, name).heads()

    def _values(self, dataset: xr.Dataset) -> da.Array:
        pattern = dataset["pattern"].data if "pattern" in dataset else self._pattern(dataset)
        return weighted(pattern, dataset["v"].data, dataset["sentence"].values)

    def _pattern(self, dataset: xr.Dataset) -> da.Array:
        facts = self._attention
        names = self._queries_and_keys
        q, k = (dataset[name].data for name in names)
        try:
            turned = bool(facts["rotary"]) and names[0] != "q_rot"
            rotary = Rotary.of(facts["rotary"]) if turned else None
            causal = bool(self._model.get("causal", True))
            keys = int(dataset["position"].values.max()) + 1
            rule = ScoreRule.of(facts, q.shape[0], causal, keys, rotary)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._damaged(error) from error
        return patterns(q, k, dataset["sentence"].values, rule)
