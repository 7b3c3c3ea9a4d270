"""The figures of all studies by name: a result in, a matplotlib Figure out.

Studies import their own; here they are for whoever draws figures of several.
"""

from actlas.analysis.attribution.figures import (
    attribution_panel,
    attribution_profile,
    head_maps,
    neuron_dots,
)
from actlas.analysis.cosine.figures import (
    cosine_heatmap,
    cosine_layers,
    cosine_panel,
    cosine_profile,
)
from actlas.analysis.cosine.matrix_figure import cosine_matrix
from actlas.analysis.downstream.effect_figures import (
    dose_of,
    dose_response,
    downstream_groups,
    group_losses,
    redundancy_panel,
    redundant_layers,
)
from actlas.analysis.downstream.figures import delta_panel, downstream_delta, downstream_profile
from actlas.analysis.heads.figures import group_maps, head_panel, score_maps
from actlas.analysis.lens.figures import lens_grid, lens_panel, lens_profile, sentence_loss
from actlas.analysis.norms.figures import norm_groups, norm_panel, norm_sites, norm_stream
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
    "attribution_panel",
    "attribution_profile",
    "cosine_heatmap",
    "cosine_layers",
    "cosine_matrix",
    "cosine_panel",
    "cosine_profile",
    "delta_panel",
    "depth_pair",
    "dose_of",
    "dose_response",
    "downstream_delta",
    "downstream_groups",
    "downstream_profile",
    "group_losses",
    "group_maps",
    "head_maps",
    "head_panel",
    "lens_grid",
    "lens_panel",
    "lens_profile",
    "neuron_dots",
    "norm_groups",
    "norm_panel",
    "norm_sites",
    "norm_stream",
    "reconstruction_panel",
    "reconstruction_profile",
    "redundancy_panel",
    "redundant_layers",
    "score_maps",
    "sentence_loss",
    "triangulation_panel",
    "variance_panel",
    "variance_profile",
]
