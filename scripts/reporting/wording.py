"""What the page says in plain words: the question of each stage, and what to look at in each of its figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """The words for a stage: its heading, its question, and for each kind of figure what is drawn and what to look at."""

    heading: str
    question: str
    figures: dict[str, tuple[str, str]]


WORDING = {
    "variance": Wording(
        "How context enters the word",
        "The target is one and the same word in every sentence, the control another token each time. What differs between the "
        "sentences in Q, K and V is what context has put there.",
        {
            "": (
                "Variance of target and control, block by block",
                "Near zero, the model treats the word alike in every sentence. Look whether the target starts there and grows "
                "with depth, while the control is diverse from the start.",
            )
        },
    ),
    "cosine": Wording(
        "How alike features are over contexts",
        "Every feature of Q, K and V is a column of numbers, one for each sentence. Two features whose columns point the same "
        "way do not tell contexts apart.",
        {
            "": (
                "Histograms of the cosines, a ridge per layer",
                "Look for ridges that pile up near ±1 in the lowest layers of the target and flatten further up: one static "
                "vector fixes all columns at first, then each feature has its own say.",
            ),
            "heatmap": (
                "The same histograms as layer × bin",
                "Bright edges are pairs of features that move together; look how fast the brightness leaves them with depth.",
            ),
            "profile": (
                "Mean |cosine| of each block over layers",
                "1: features move together; 0: not at all. Look where the target comes down to the control.",
            ),
            "matrix": (
                "All cosines of the deepest layer",
                "Each point is a pair of features. Look for stripes, which are features alike to a whole head, and for blocks "
                "that differ between target and control.",
            ),
        },
    ),
    "reconstruct": Wording(
        "A block is a sum",
        "A block adds what its attention and its MLP give to what it was given. On stored numbers that is arithmetic: anything "
        "beyond rounding is a fault.",
        {
            "": (
                "Errors of the sums, and correlation of consecutive depths",
                "Left: the error of every block should lie at the rounding of the stored precision, with none apart. Right: "
                "the nearer to 1, the less a block changes the stream; look where the curve dips.",
            ),
            "pair": (
                "Two consecutive depths against each other",
                "Each entry of the residual stream at one depth against the next. Look how close the cloud lies to the "
                "diagonal, and whether a few far entries alone make the correlation.",
            ),
        },
    ),
    "norms": Wording(
        "How large activations are",
        "Sizes decide what a layer can move. The first token of a sentence is shown apart, because it is often much larger.",
        {
            "": (
                "The residual stream: norms, what is written into it, steps and shares",
                "Look how the stream grows, which of attention and MLP writes more of it, and where a share is below zero: "
                "there the writer takes away what was there.",
            ),
            "sites": (
                "Norm of a token's vector at every site",
                "Look for a site whose largest values leave its quartiles far behind: these are outliers.",
            ),
            "groups": (
                "Norms by group of tokens",
                "Look whether a group lies apart from the others, and from which depth on.",
            ),
        },
    ),
    "scan": Wording(
        "Which blocks are redundant?",
        "Each block is skipped in turn: its output is replaced by its input. What that costs is what the block is good for.",
        {
            "": (
                "Change of the loss when a block is skipped",
                "The longer the bar, the more the model needs the block. Look for bars hardly longer than their error.",
            )
        },
    ),
    "downstream": Wording(
        "What edits do downstream",
        "The same sentences with and without an edit, compared depth by depth. Before the edit nothing may differ.",
        {
            "": (
                "Distance to the run without edits",
                "Zero before the edit, a jump at the diamond, then growth or repair. Right: relative to a stream that grows.",
            ),
            "step": (
                "How far each block moves the residual stream",
                "The dashed line is the run without edits. At a skipped block the step is exactly zero.",
            ),
            "std": (
                "Spread of the residual stream",
                "Look whether later blocks bring an exploded or collapsed spread back to the dashed line.",
            ),
        },
    ),
}
