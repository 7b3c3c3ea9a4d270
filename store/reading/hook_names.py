"""Names of sites as users give them.

The table's own, TransformerLens', and those with a layer, ``blocks.3.attn.hook_q``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from actlas.store.errors import UsageError, quoted, unknown

BLOCKS = "blocks."  # begins the names that say the layer
DIGITS = 9  # of a layer, at most
#: another name → site
HOOKS: Mapping[str, str] = {
    **dict.fromkeys(("hook_resid_pre", "hook_resid_post", "resid_pre", "resid_post"), "resid"),
    "hook_resid_mid": "resid_mid",
    **{f"{part}hook_{name}": name for name in "qkv" for part in ("attn.", "")},
    **{f"{part}hook_rot_{name}": f"{name}_rot" for name in "qk" for part in ("attn.", "")},
    **{f"{part}hook_z": "z" for part in ("attn.", "")},
    "hook_attn_out": "attn_out",
    **{f"{part}hook_pre": "mlp_pre" for part in ("mlp.", "")},
    **{f"{part}hook_pre_linear": "mlp_up" for part in ("mlp.", "")},
    **{f"{part}hook_post": "mlp_post" for part in ("mlp.", "")},
    "hook_mlp_out": "mlp_out",
    **{f"{part}hook_pattern": "pattern" for part in ("attn.", "")},
    **dict.fromkeys(("ln_final", "ln_final.hook_normalized"), "final_norm"),
    "loss_per_token": "nll",
}
WITHOUT_LAYER = ("final_norm", "nll")  # sites that have one place in the model


@dataclass(frozen=True)
class SiteName:
    """A name of a site, and what it says besides.

    The layer, and of the residual stream which side of the block.
    """

    name: str
    site: str
    layer: int | None = None
    side: Literal["pre", "post"] | None = None


def site_name(name: str, sites: Collection[str]) -> SiteName:
    """Return which of ``sites`` a ``name`` means.

    Raises UsageError, naming the nearest, for one that there is not.
    """
    layer, short = None, name
    if name.startswith(BLOCKS):
        number, _, short = name.removeprefix(BLOCKS).partition(".")
        if not (number.isascii() and number.isdigit() and len(number) <= DIGITS):
            raise UsageError(
                f"site {quoted(name)}: expected a layer behind {BLOCKS!r}, as in "
                f"blocks.3.attn.hook_q"
            )
        layer = int(number)
    site = HOOKS.get(short, None if layer is not None else short)
    if site is None or site not in sites:
        raise unknown("site", name, _near(name, layer, sites))
    if layer is not None and site in WITHOUT_LAYER:
        raise UsageError(f"site {quoted(name)}: {site} has no layer, expected {short}")
    side: Literal["pre", "post"] | None = (
        "pre" if short.endswith("resid_pre") else "post" if short.endswith("resid_post") else None
    )
    return SiteName(name, site, layer, side)


def _near(name: str, layer: int | None, sites: Collection[str]) -> list[str]:
    """Return the names that ``name`` may have been meant as."""
    hooks = [hook for hook, site in HOOKS.items() if site in sites]
    if layer is not None:
        return [f"{BLOCKS}{layer}.{hook}" for hook in hooks]
    return [*sites, *(hooks if "hook" in name else ())]
