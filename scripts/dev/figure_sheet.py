"""Draw the figures of every study from made-up results of any size, to look at them.

python -m actlas.scripts.dev.figure_sheet FOLDER --layers 48 --variants 20 --sweep factors
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from actlas.scripts.dev import figure_results as made
from actlas.scripts.dev.figure_results import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("mixed", "factors", "layers", "both")
FORMS = ("png", "svg", "pdf")


def figures(sizes: Sizes) -> dict[str, Callable[[], Figure]]:
    """Return what draws each figure of each study, by study and kind."""
    return {**_of_groups(sizes), **_of_edits(sizes), **_of_answers(sizes)}


def _of_groups(sizes: Sizes) -> dict[str, Callable[[], Figure]]:
    from actlas.analysis import figures
    from actlas.analysis.histogram.figures import group_distances, histograms

    word = "her" if sizes.groups == 2 else None
    cosines, norms, values = made.cosine(sizes), made.norms(sizes), made.histogram(sizes)
    return {
        "variance": lambda: figures.variance_profile(made.variance(sizes), word),
        "cosine": lambda: figures.cosine_layers(cosines, word),
        "cosine_heatmap": lambda: figures.cosine_heatmap(cosines, word),
        "cosine_profile": lambda: figures.cosine_profile(cosines, word),
        "cosine_matrix": lambda: figures.cosine_matrix(made.matrix(sizes), word),
        "norms": lambda: figures.norm_stream(norms),
        "norms_alone": lambda: figures.norm_stream(made.norms(sizes, writers=False)),
        "norms_sites": lambda: figures.norm_sites(norms),
        "norms_groups": lambda: figures.norm_groups(norms, "resid"),
        "histogram": lambda: histograms(values, "resid"),
        "histogram_distance": lambda: group_distances(values, "resid"),
    }


def _of_edits(sizes: Sizes) -> dict[str, Callable[[], Figure]]:
    from actlas.analysis import figures

    edited, sums = made.downstream(sizes), made.reconstruct(sizes)
    entries = sizes.generator.normal(size=(2, 5000))
    found: dict[str, Callable[[], Figure]] = {
        "reconstruct": lambda: figures.reconstruction_profile(sums, [1]),
        "reconstruct_pair": lambda: figures.depth_pair(
            entries[0], entries[0] + 0.3 * entries[1], sums.sel(pair=1), "every entry"
        ),
        "scan": lambda: figures.redundant_layers(made.scan(sizes)),
        "scan_all": lambda: figures.redundant_layers(made.scan(sizes, grouped=False)),
        "downstream": lambda: figures.downstream_delta(edited),
        "downstream_step": lambda: figures.downstream_profile(edited, "step"),
        "downstream_std": lambda: figures.downstream_profile(edited, "std"),
        "downstream_groups": lambda: figures.downstream_groups(edited),
        "downstream_loss": lambda: figures.group_losses(edited),
    }
    if figures.dose_of(edited) is not None:
        found["downstream_dose"] = lambda: figures.dose_response(edited)
    return found


def _of_answers(sizes: Sizes) -> dict[str, Callable[[], Figure]]:
    from actlas.analysis import figures

    heads, read, added = made.heads(sizes), made.lens(sizes), made.attribution(sizes)
    words = cast("Any", made.Vocabulary())
    title = "What adds to the logit of her less that of him"
    return {
        "heads": lambda: figures.score_maps(heads),
        "heads_groups": lambda: figures.group_maps(heads),
        "lens": lambda: figures.lens_profile(read),
        "lens_words": lambda: figures.lens_grid(read, words, 0),
        "lens_loss": lambda: figures.sentence_loss(read, words, 0),
        "attribute": lambda: figures.attribution_profile(added, title),
        "attribute_heads": lambda: figures.head_maps(added["mean_head"], title),
        "triangulate": lambda: figures.attribution_against_ablation(made.triangulation(sizes)),
    }


def panels(sizes: Sizes) -> dict[str, Callable[[Axes], None]]:
    """Return what draws the one panel of each study, by study."""
    from actlas.analysis import figures
    from actlas.analysis.histogram.figures import histogram_panel

    values = made.histogram(sizes)
    return {
        "variance": lambda ax: figures.variance_panel(ax, made.variance(sizes), "her"),
        "cosine": lambda ax: figures.cosine_panel(ax, made.cosine(sizes), "her"),
        "norms": lambda ax: figures.norm_panel(ax, made.norms(sizes)),
        "histogram": lambda ax: histogram_panel(ax, values.isel(depth=-1), "depth", "resid"),
        "reconstruct": lambda ax: figures.reconstruction_panel(ax, made.reconstruct(sizes)),
        "scan": lambda ax: figures.redundancy_panel(ax, made.scan(sizes)),
        "downstream": lambda ax: figures.delta_panel(ax, made.downstream(sizes)),
        "heads": lambda ax: figures.head_panel(ax, made.heads(sizes), "previous"),
        "lens": lambda ax: figures.lens_panel(ax, made.lens(sizes)),
        "attribute": lambda ax: figures.attribution_panel(ax, made.attribution(sizes)),
        "triangulate": lambda ax: figures.triangulation_panel(ax, made.triangulation(sizes)),
    }


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--layers", default=12, show_default=True, help="Layers of the model.")
@click.option("--variants", default=5, show_default=True, help="Variants of the run.")
@click.option("--groups", default=2, show_default=True, help="Groups of tokens.")
@click.option("--heads", default=8, show_default=True, help="Heads of a layer.")
@click.option(
    "--sweep", type=click.Choice(SWEEPS), default="mixed", help="What variants differ in."
)
@click.option("--only", default="", help="Draw only figures whose names begin so.")
@click.option("--form", "forms", multiple=True, type=click.Choice(FORMS), default=("png",))
def main(
    folder: Path,
    layers: int,
    variants: int,
    groups: int,
    heads: int,
    sweep: str,
    only: str,
    forms: tuple[str, ...],
) -> None:
    """Write the figures of every study, of made-up results, to FOLDER."""
    from actlas.analysis.plots import figure_files

    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in figures(Sizes(layers, variants, groups, heads, sweep)).items():
        if name.startswith(only):
            for form, content in figure_files(draw(), forms).items():
                (folder / f"{name}.{form}").write_bytes(content)
                click.echo(f"{name}.{form}  {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
