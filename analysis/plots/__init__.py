"""The figures: a result in, a matplotlib Figure out.

No window is opened. Nothing else in the analyses knows matplotlib. ``STYLE`` is the style file, for
``plt.style.use``.
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
from actlas.analysis.plots.files import figure_files, save_figure
from actlas.analysis.plots.style import STYLE
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
    "STYLE",
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
    "figure_files",
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
    "save_figure",
    "score_maps",
    "sentence_loss",
    "triangulation_panel",
    "variance_panel",
    "variance_profile",
]
