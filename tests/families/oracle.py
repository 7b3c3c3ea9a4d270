"""Decoders and encoders in plain NumPy, float64, one sentence at a time.

They share nothing with torch or transformers, and are written from the papers and the names in the
files. tests/oracle.py is GPT-2.
"""

from collections import defaultdict

import numpy as np

from tests.families.oracles import encoder, gated, gpt, weights
from tests.oracle import softmax

RUNS = {
    "bert": encoder.encoder,
    "roberta": encoder.encoder,
    "gpt_neox": gpt.gpt_neox,
    "gpt_neo": gpt.gpt_neo,
    "gptj": gpt.gptj,
    "phi": gpt.phi,
    **dict.fromkeys(gated.TYPES, gated.gated),
}


def unchanged(_site, _index, value):
    return value


class Notes:
    """Every value that was noted, by site; ``change`` has the first word on each."""

    def __init__(self, change):
        self.change, self.found = change, defaultdict(list)

    def __call__(self, site, index, value):
        value = self.change(site, index, value)
        self.found[site].append(value)
        return value

    def arrays(self):
        """Return site → array; what has no layer was noted once."""
        bare = ("final_norm", "logits")
        return {name: v[0] if name in bare else np.stack(v) for name, v in self.found.items()}


def activations(config, tensors, token_ids, change=unchanged):
    """Return every site of one sentence: name → array with the dims of a store.

    config: the content of config.json; tensors: name in the file → array (…).
    resid (depth, token, d_model); resid_mid, attn_out, mlp_out (layer, token, d_model);
    q, q_normed, q_rot, z (layer, token, head, d_head); k, k_normed, k_rot, v (layer, token,
    kv_head, d_head); pattern (layer, token, head, key); mlp_pre, mlp_up, mlp_post (layer, token,
    d_mlp); final_norm (token, d_model), logits (token, vocabulary), nll (token). A type has no
    entry for what it does not have: parallel blocks no resid_mid, encoders nothing after the last
    block.

    change(site, index, value) returns what takes the place of a value, for all who read it;
    index: the layer, the depth of resid, None for final_norm and logits.
    """
    config = config.get("text_config", config)
    note = Notes(change)
    logits = RUNS[config["model_type"]](config, weights.read(tensors), np.asarray(token_ids), note)
    found = note.arrays()
    if logits is not None:
        found["nll"] = loss(logits, token_ids)
    return found


def loss(logits, token_ids):
    """Return −log p of each token (token,); nan for the first, which nothing predicts."""
    tokens = len(token_ids)
    chosen = softmax(logits)[np.arange(tokens - 1), np.asarray(token_ids)[1:]]
    return np.concatenate([[np.nan], -np.log(chosen)])
