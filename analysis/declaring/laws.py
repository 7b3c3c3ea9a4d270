"""What a run's record says of its model, and what follows from it for studies.

The law of the residual stream says how block ``l`` writes it:

- ``add``: resid_mid = resid[l] + attn_out, then resid[l+1] = resid_mid + mlp_out (GPT-2, Llama).
- ``parallel``: resid[l+1] = resid[l] + attn_out + mlp_out; both read the same (GPT-NeoX, GPT-J).
- ``post``: resid_mid = LN(resid[l] + attn_out), resid[l+1] = LN(resid_mid + mlp_out) (BERT).

A model that is not causal sees the tokens on both sides of each.
"""

from __future__ import annotations

from collections.abc import Iterable

from actlas.store.errors import UsageError, quoted

ADD, PARALLEL, POST = "add", "parallel", "post"
#: laws under which a block adds its parts to its input, and nothing else
SUMS = (ADD, PARALLEL)


def absent(site: str, law: str, causal: bool) -> str:
    """Return why a model of ``law`` has no such site, empty where nothing says so."""
    if site == "resid_mid" and law == PARALLEL:
        return "attention and MLP of its model read the same input, with nothing between them"
    if site == "final_norm" and law == POST:
        return "each block of its model ends in a LayerNorm, and none follows the last"
    if site == "nll" and not causal:
        return (
            "its model sees both sides of a token, so there is no next-token loss "
            "(`actlas downstream` compares variants without it)"
        )
    return ""


def check_sites(run: str, sites: Iterable[str], law: str, causal: bool) -> None:
    """Raise UsageError for a site that a model of ``law`` cannot have.

    run: how the message calls it. sites: those that are to be read and are not stored.
    """
    for site in sites:
        reason = absent(site, law, causal)
        if reason:
            raise UsageError(f"{run} has no site {site}: {reason}")


def no_sum(law: str) -> str:
    """Return why a block of a model of ``law`` is no sum of what is stored, empty where it is."""
    if law in SUMS:
        return ""
    if law == POST:
        return "a LayerNorm follows each sum"
    return f"law {quoted(law)} of the residual stream is none of {', '.join((*SUMS, POST))}"


def check_sum(whose: str, law: str) -> None:
    """Raise UsageError where a block is no sum of what is stored.

    whose: how the message calls the run or its model.
    """
    reason = no_sum(law)
    if reason:
        weights = ", whose weights are not stored" if law == POST else ""
        raise UsageError(
            f"{whose} has no sums to check: {reason}{weights}; --depths-only correlates "
            "consecutive depths alone"
        )
