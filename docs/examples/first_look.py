# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # A first look
#
# Open it with `jupytext --to notebook first_look.py`, or as it is in an editor that knows cells.
# Two lines: sentences through the small model that comes with actlas, and a study of them.

# %%
import matplotlib.pyplot as plt
import numpy as np

import actlas

TEXTS = """Tom gave her the cup.
Alice lost her blue umbrella.
Nobody answered her at all.
Emma and her sister went home.
Ben drove past her very quickly.""".splitlines()

run = actlas.extract(TEXTS, "demo", store="actlas-store", name="first-look")
actlas.variance(run, target="her")

# %% [markdown]
# Run the cell again: it answers from the store. What was stored, and what else is there:

# %%
run

# %%
actlas.open("actlas-store")

# %% [markdown]
# Activations are lazy and labelled: a site, a layer of it, by TransformerLens' names too.

# %%
run["blocks.3.attn.hook_q"]

# %% [markdown]
# Every study fits into a figure of your own; `help(actlas.variance)` shows its options.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
actlas.variance(run, target="her").plot(ax=axes[0])
actlas.norms(run).plot(ax=axes[1], layers="0-6")
plt.show()

# %% [markdown]
# An intervention is another run; how far it is from the first, depth by depth:

# %%
skipped = actlas.extract(TEXTS, "demo", edits="skip:layer=2", store="actlas-store")
actlas.downstream(skipped).plot()
plt.show()

# %% [markdown]
# Plain xarray does the rest, such as the most surprising token of each sentence, or the size of the
# residual stream without first tokens, which are larger than all others.

# %%
run["nll"].groupby("sentence").max().values

# %%
later = run["resid"].isel(token=np.flatnonzero(run["resid"]["position"].values > 0))
((later**2).sum("d_model") ** 0.5).mean("token").values
