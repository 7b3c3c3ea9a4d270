"""The figures: a result in, a matplotlib Figure out.

No window is opened. Nothing else in the analyses knows matplotlib.
"""

from actlas.analysis.attribution.figures import (
    attribution_bars,
    attribution_panel,
    head_maps,
    neuron_bars,
)
from actlas.analysis.cosine.figures import (
    cosine_heatmap,
    cosine_matrix,
    cosine_panel,
    cosine_profile,
    cosine_ridgelines,
)
from actlas.analysis.downstream.figures import (
    delta_panel,
    downstream_delta,
    downstream_profile,
    redundancy_panel,
    redundant_layers,
)
from actlas.analysis.heads.figures import group_maps, head_panel, score_maps
from actlas.analysis.lens.figures import lens_grid, lens_panel, lens_profile
from actlas.analysis.norms.figures import norm_groups, norm_panel, norm_sites, norm_stream
from actlas.analysis.plots.style import figure_files, save_figure
from actlas.analysis.reconstruction.figures import (
    depth_pair,
    reconstruction_panel,
    reconstruction_profile,
)
from actlas.analysis.triangulation.figures import (
    attribution_against_ablation,
    triangulation_panel,
)
from actlas.analysis.variance.figures import variance_panel, variance_profile

__all__ = [
    "attribution_against_ablation",
    "attribution_bars",
    "attribution_panel",
    "cosine_heatmap",
    "cosine_matrix",
    "cosine_panel",
    "cosine_profile",
    "cosine_ridgelines",
    "delta_panel",
    "depth_pair",
    "downstream_delta",
    "downstream_profile",
    "figure_files",
    "group_maps",
    "head_maps",
    "head_panel",
    "lens_grid",
    "lens_panel",
    "lens_profile",
    "neuron_bars",
    "norm_groups",
    "norm_panel",
    "norm_sites",
    "norm_stream",
    "reconstruction_panel",
    "reconstruction_profile",
    "redundancy_panel",
    "redundant_layers",
    "save_figure",
    "score_maps",
    "triangulation_panel",
    "variance_panel",
    "variance_profile",
]
