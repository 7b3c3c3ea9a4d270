"""What all figures share: the style, margins, marks, files. No window is opened.

Nothing but this room and each study's figures knows matplotlib. ``STYLE`` is the style file, for
``plt.style.use``.
"""

from actlas.analysis.plots.files import figure_files, save_figure
from actlas.analysis.plots.style import STYLE

__all__ = ["STYLE", "figure_files", "save_figure"]
