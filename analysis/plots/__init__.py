"""The figures: a result in, a matplotlib Figure out; no window is opened. Nothing else in the analyses knows matplotlib."""

from actlas.analysis.plots.cosine import cosine_heatmap, cosine_matrix, cosine_profile, cosine_ridgelines
from actlas.analysis.plots.downstream import downstream_delta, downstream_profile, redundant_blocks
from actlas.analysis.plots.norms import norm_groups, norm_sites, norm_stream
from actlas.analysis.plots.reconstruction import depth_pair, reconstruction_profile
from actlas.analysis.plots.style import figure_files, save_figure
from actlas.analysis.plots.variance import variance_profile

__all__ = [
    "cosine_heatmap",
    "cosine_matrix",
    "cosine_profile",
    "cosine_ridgelines",
    "depth_pair",
    "downstream_delta",
    "downstream_profile",
    "figure_files",
    "norm_groups",
    "norm_sites",
    "norm_stream",
    "reconstruction_profile",
    "redundant_blocks",
    "save_figure",
    "variance_profile",
]
