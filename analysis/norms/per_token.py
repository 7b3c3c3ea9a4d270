"""Norms over all tokens at once as tables, findings, figures and charts show them: of one token.

A Frobenius norm grows with the square root of the tokens. Divided by it, it is the root mean square
of the norms of tokens, which runs of any length share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

#: what axes and columns call them; the unit is that of the residual stream
LABELS = {
    "delta": "‖h[d] − h′[d]‖ of a token (RMS)",
    "step": "‖h[d] − h[d−1]‖ of a token (RMS)",
}
RELATIVE = "‖h[d] − h′[d]‖ / ‖h[d]‖"
RMS = "root mean square over tokens"


def per_token(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return ``name``, a Frobenius norm over the ``tokens`` of a result, of a token: ‖·‖_F/√tokens.

    result: with ``tokens`` (of each group, where ``name`` is). NaN where there are none.
    """
    tokens = result["tokens"]
    return result[name] / tokens.where(tokens > 0) ** 0.5
