# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # A first look at a store
#
# Open it with `jupytext --to notebook first_look.py`, or as it is in an editor that knows cells.
# It needs a store with the demo's sentences: `actlas extract pipeline/texts/her.txt --name her`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from actlas.analysis.data.tokens import Target, select_tokens
from actlas.analysis.norms.depths import step_norms
from actlas.analysis.variance.compute import variance_profile
from actlas.store import Store

run = Store("actlas-store").run("her")
run

# %% [markdown]
# A dataset is lazy: labels are there, activations are read where they are asked for.

# %%
dataset = run.dataset(("q", "k", "v", "resid"))
dataset

# %% [markdown]
# Which token is the word, and which the control? Position 0 is never one.

# %%
selection = select_tokens(dataset, Target("her"))
print(selection.summary())
for target, control in zip(selection.target_token[:3], selection.control_token, strict=False):
    text = str(dataset["text"].values[target])
    spans = [
        (int(dataset["char_start"][token]), int(dataset["char_end"][token]))
        for token in (control, target)
    ]
    print([text[start:end] for start, end in spans], "in", text)

# %% [markdown]
# How context enters the word: the variance of its queries over the sentences, layer by layer.

# %%
profile = variance_profile(dataset, selection).compute()
profile["variance"].sel(projection="q").plot.line(x="layer", hue="group")
plt.show()

# %% [markdown]
# How far does each layer move the residual stream? First tokens are left out: they are larger than
# all others.

# %%
later = dataset["resid"].isel(token=np.flatnonzero(dataset["position"].values > 0))
step_norms(later).plot(marker="o")
plt.show()

# %% [markdown]
# Plain xarray does the rest, such as the most surprising token of each sentence.

# %%
nll = run.dataset(("nll",))["nll"].compute()
nll.groupby("sentence").max().values[:5]
