"""The figures of a trust report, out of what was measured."""

import numpy as np
from numpy.typing import NDArray

from vcam_training.trust.cascade import Cascade
from vcam_training.trust.fidelity import Fidelity
from vcam_training.trust.figure import (
    SHARE,
    VOXELS,
    Curve,
    Figure,
    mean_figure,
    share_figure,
)
from vcam_training.trust.localising import LARGE_RADIUS, Localisation
from vcam_training.trust.stability import NOISE_SHARES, SHIFT, Change, Stability

LEAST_LARGE = 10
"""Large objects below which they get no rows of their own."""

WHERE, SCORE, WEIGHTS, CALM, NOTHING = (
    "Where maps point",
    "Whether the score depends on it",
    "Whether maps depend on the weights",
    "Whether maps keep still",
    "Whether maps can say that there is nothing",
)
"""Groups of figures."""

CAM, NOISY, EDGES = "map", "map with a little noise", "edge detector"
"""What is compared while the weights are randomised; the latter two are controls."""

NEAR = "pointing, within one cell"
INSIDE = "pointing, inside"
DICE = "Dice"
ENERGY = "energy inside"
DELETION_GAIN = "deletion, below shuffled maps by"
INSERTION_GAIN = "insertion, above shuffled maps by"
RANDOMISED = "similarity, all weights random"
SLIGHT_SHIFT = f"similarity, shift by {SHIFT:g} voxel"
SAME_AFTER_SHIFT = f"same class, shift by {SHIFT:g} voxel"
SLIGHT_NOISE = f"similarity, noise of {100 * NOISE_SHARES[0]:g} % of the window"
SILENT_POSITIVES = "no evidence in the map, class rightly found"
SILENT_NEGATIVES = "no evidence in the map, class explained is absent"


def localisation_figures(found: Localisation) -> list[Figure]:
    """Agreement of maps with masks; large objects once more, if there are some."""
    figures = [
        share_figure(
            found.distance <= 1,
            group=WHERE,
            name=NEAR,
            control=float(found.chance_near.mean()),
            control_name="a random cell",
            meaning="The strongest cell lies in the object or next to it.",
        ),
        share_figure(
            found.distance == 0,
            group=WHERE,
            name=INSIDE,
            control=float(found.chance_inside.mean()),
            control_name="a random cell",
            meaning="The centre of the strongest cell lies inside the object.",
        ),
        share_figure(
            found.centre <= 1,
            group=WHERE,
            name="weighted centre, within one cell",
            control=float(found.centre_chance.mean()),
            control_name="a random cell",
            meaning="The centre of mass of the positive cells lies at the object's.",
        ),
        mean_figure(
            found.dice,
            group=WHERE,
            name=DICE,
            control=float(found.dice_chance.mean()),
            control_name="as many voxels anywhere",
            meaning="Overlap of the marked part and the object; the cut comes from validation.",
        ),
        mean_figure(
            found.ceiling,
            group=WHERE,
            name="Dice of a perfect map",
            meaning="What the object itself reaches when it is shown on these cells.",
        ),
        *(
            mean_figure(
                peer.dice,
                group=WHERE,
                name=f"Dice, maps {name}",
                control=float(found.dice.mean()),
                control_name="cells in their place",
                meaning="The same maps laid on the scan as is usual, with a cut of their own.",
            )
            for name, peer in found.peers.items()
        ),
        mean_figure(
            found.iou,
            group=WHERE,
            name="IoU",
            control=float(found.iou_chance.mean()),
            control_name="as many voxels anywhere",
            meaning="The same overlap as a share of the union.",
        ),
        mean_figure(
            found.energy,
            group=WHERE,
            name=ENERGY,
            control=float(found.energy_chance.mean()),
            control_name="an even map",
            kind=SHARE,
            meaning="The part of the heatmap's sum that lies inside the object.",
        ),
    ]
    points = np.isfinite(found.peak_error)
    if points.any():
        others = [
            f"{name}: {peer.peak_error[points].mean():.2f}" for name, peer in found.peers.items()
        ]
        figures.append(
            mean_figure(
                found.peak_error[points],
                group=WHERE,
                name="distance of the strongest voxel, voxels",
                control_name="maps " + "; ".join(others),
                kind=VOXELS,
                meaning="From the strongest voxel to the object; 0 inside.",
            )
        )
    if np.count_nonzero(found.large) >= LEAST_LARGE:
        figures += _large_figures(found)
    return figures


def _large_figures(found: Localisation) -> list[Figure]:
    large = found.large
    sized = f"objects of radius ≥ {LARGE_RADIUS:g} voxels"
    return [
        share_figure(
            found.distance[large] <= 1,
            group=WHERE,
            name=f"{NEAR}, {sized}",
            control=float(found.chance_near[large].mean()),
            control_name="a random cell",
            meaning="The same for objects that are large and lie where there are cells.",
        ),
        mean_figure(
            found.dice[large],
            group=WHERE,
            name=f"{DICE}, {sized}",
            control=float(found.dice_chance[large].mean()),
            control_name="as many voxels anywhere",
            meaning=f"A perfect map reaches {found.ceiling[large].mean():.2f} here. "
            f"{_laid_out_otherwise(found, large)}",
        ),
    ]


def _laid_out_otherwise(found: Localisation, chosen: NDArray[np.bool_]) -> str:
    """Dice and peak error of the same maps as others lay them out, in a sentence."""
    here = np.isfinite(found.peak_error) & chosen
    peers = [
        f"{name} {peer.dice[chosen].mean():.3f} and {peer.peak_error[here].mean():.2f} voxels"
        for name, peer in found.peers.items()
    ]
    return (
        f"The strongest voxel is {found.peak_error[here].mean():.2f} voxels off; "
        f"the same maps {', '.join(peers)}."
    )


def fidelity_figures(found: Fidelity) -> list[Figure]:
    """Areas under the curves, and what they differ by from those of shuffled maps."""
    areas = {
        "deletion": (found.deletion, found.control_deletion, "Low: the score falls early."),
        "insertion": (found.insertion, found.control_insertion, "High: the score rises early."),
    }
    figures = [
        mean_figure(
            found.area(curves),
            group=SCORE,
            name=f"{name}, area under the score",
            control=float(found.area(control).mean()),
            control_name="shuffled maps",
            meaning=f"Voxels {what}, the strongest first. {good}",
        )
        for (name, (curves, control, good)), what in zip(
            areas.items(), ("replaced by the scan's median", "put back"), strict=True
        )
    ]
    for name, gain in (
        (DELETION_GAIN, found.deletion_gain),
        (INSERTION_GAIN, found.insertion_gain),
    ):
        figures.append(
            mean_figure(
                gain,
                group=SCORE,
                name=name,
                control=0.0,
                control_name="a map that says nothing",
                meaning="Scan by scan; above 0 the score depends on what maps mark.",
            )
        )
    return figures


def cascade_curves(found: Cascade) -> dict[str, Curve]:
    """Similarity after each layer, for the map and the controls."""
    return {name: Curve.of_draws(name, values) for name, values in found.similarity.items()}


def cascade_figures(found: Cascade, curves: dict[str, Curve]) -> list[Figure]:
    """Similarity of the maps when the logits' layer, and when all weights are random."""
    own, edges, noisy = curves[CAM], curves[EDGES], curves[NOISY]
    scans = found.similarity[CAM].shape[2]

    def row(name: str, at: int, meaning: str) -> Figure:
        return Figure(
            group=WEIGHTS,
            name=name,
            value=own.values[at],
            lower=own.lower[at],
            upper=own.upper[at],
            count=scans,
            control=edges.values[at],
            control_name=f"edge detector; map with a little noise: {noisy.values[at]:.3f}, with "
            f"trained weights {noisy.values[0]:.3f}",
            meaning=meaning,
        )

    return [
        row(
            "similarity, logits random",
            1,
            f"Rank correlation with the trained model's maps when {found.layers[1]} is drawn anew.",
        ),
        row(
            RANDOMISED,
            -1,
            "The same when no trained weight is left: near 0 maps show what was learned.",
        ),
    ]


def edge_figure(similarity: NDArray[np.float64]) -> Figure:
    """How alike maps are to those of an edge detector, float64 [n]."""
    return mean_figure(
        similarity,
        group=WEIGHTS,
        name="similarity to an edge detector",
        meaning="Rank correlation of the trained model's maps with the edges in the scan.",
    )


def stability_figures(found: Stability) -> list[Figure]:
    """Similarity under noise and shifts, and how far the weighted centre is off."""
    others = float(found.others.similarity.mean()) if found.others.similarity.size else None
    apart = _finite(found.others.displacement)
    far = float(apart.mean()) if apart.size else None
    changes: list[tuple[str, Change]] = [
        (f"noise of {100 * share:g} % of the window", change)
        for share, change in zip(NOISE_SHARES, found.noise, strict=True)
    ]
    changes.append((f"shift by {SHIFT:g} voxel", found.shift))
    figures = []
    for what, change in changes:
        figures.append(
            mean_figure(
                change.similarity,
                group=CALM,
                name=f"similarity, {what}",
                control=others,
                control_name="another scan of the class",
                meaning="Rank correlation with the scan's own map; 1 is the same order of cells.",
            )
        )
        figures.append(
            mean_figure(
                change.same_class,
                group=CALM,
                name=f"same class, {what}",
                kind=SHARE,
                meaning="Whether the model still gives the scan the class that it gave it.",
            )
        )
        moved = _finite(change.displacement)
        if moved.size:
            figures.append(
                mean_figure(
                    moved,
                    group=CALM,
                    name=f"centre off, {what}, voxels",
                    control=far,
                    control_name="another scan of the class",
                    kind=VOXELS,
                    meaning="How far the weighted centre is from where it should be.",
                )
            )
    return figures


def silence_figures(positives: NDArray[np.bool_], negatives: NDArray[np.bool_]) -> list[Figure]:
    """How many maps are called no evidence, where there should be some and where not."""
    figures = []
    absent = float(negatives.mean()) if negatives.size else None
    if positives.size:
        figures.append(
            share_figure(
                positives,
                group=NOTHING,
                name=SILENT_POSITIVES,
                control=absent,
                control_name="class explained is absent" if negatives.size else "",
                meaning="Should be rare: the class is there and was found.",
            )
        )
    if negatives.size:
        figures.append(
            share_figure(
                negatives,
                group=NOTHING,
                name=SILENT_NEGATIVES,
                control=float(positives.mean()) if positives.size else None,
                control_name="class rightly found" if positives.size else "",
                meaning="Should be frequent: there is nothing of that class to show.",
            )
        )
    return figures


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
