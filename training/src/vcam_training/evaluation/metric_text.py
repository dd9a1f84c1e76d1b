"""Figures for people: how a value is written, and what it means."""

from vcam_client.spec import Metric
from vcam_training.evaluation.map_metrics import (
    CEILING,
    CENTRE,
    DICE,
    ENERGY,
    INSIDE,
    IOU,
    NEAR,
    SILENT_NEGATIVES,
    SILENT_POSITIVES,
)

_SHARES = (
    "accuracy",
    "sensitivity",
    "specificity",
    NEAR,
    INSIDE,
    CENTRE,
    SILENT_POSITIVES,
    SILENT_NEGATIVES,
)
"""Beginnings of names of figures that are written in percent."""
_IN_UNITS = ("MSE", "mean absolute error")
"""Beginnings of names of figures in the units of a target, or their square."""
_MEANINGS = {
    "accuracy": "How often the class with the highest score is the true one. By chance: the most "
    "frequent class for each.",
    "sensitivity, at threshold": "Share of positives whose score reaches the decision threshold.",
    "specificity, at threshold": "Share of negatives whose score stays below it.",
    "sensitivity": "Share of its volumes that are given this class.",
    "mean AUC": "Mean of the areas below.",
    "AUC": "How often a positive has a higher score than a negative.",
    "expected calibration error": "How far calibrated scores are from how often they come true.",
    "MSE": "Mean squared error. By chance: the mean of the validation split as every answer.",
    "mean absolute error": "Mean distance from the truth. By chance: the same mean.",
    "R²": "Share of the variance of the truth that is explained. By chance: the same mean.",
    NEAR: "The centre of the strongest cell lies in the object or next to it. By chance: a random "
    "cell.",
    INSIDE: "It lies in the object.",
    CENTRE: "The map's centre of mass lies at the object's. By chance: a random cell.",
    DICE: "Overlap of object and heatmap, cut where validation says. By chance: as many voxels "
    "anywhere.",
    IOU: "The same as intersection over union.",
    ENERGY: "Share of the heatmap in the object. By chance: the object's share of the volume.",
    CEILING: "What a perfect map reaches on these cells for the worst object.",
    SILENT_POSITIVES: "Maps called no evidence where the class is there and was found.",
    SILENT_NEGATIVES: "Maps called no evidence where the class explained is absent.",
}
"""By the beginning of a name; the first that fits counts."""


def value_text(metric: Metric, value: float | None) -> str:
    """A value of a figure: percent, units, or three decimals; "" for None."""
    if value is None:
        return ""
    if metric.name.startswith(_SHARES):
        return f"{100 * value:.1f} %"
    return f"{value:.4g}" if metric.name.startswith(_IN_UNITS) else f"{value:.3f}"


def interval_text(metric: Metric) -> str:
    """Its 95 % interval, "" without one."""
    if metric.lower is None or metric.upper is None:
        return ""
    return f"{value_text(metric, metric.lower)} to {value_text(metric, metric.upper)}"


def in_words(metric: Metric) -> str:
    """A figure on one line, with its interval and chance."""
    value = value_text(metric, metric.value)
    held_out = "held out" if metric.split == "test" else f"of the {metric.split} split"
    if metric.lower is None:
        return f"{metric.name}: {value} of {metric.count} {held_out}"
    words = (
        f"{metric.name}: {value} on {metric.count} {held_out} "
        f"(95 % interval {interval_text(metric)})"
    )
    chance = value_text(metric, metric.chance)
    return f"{words}, by chance {chance}" if chance else words


def meaning(metric: Metric) -> str:
    """One or two sentences on what it says; "" for a figure nobody knows."""
    return next((text for name, text in _MEANINGS.items() if metric.name.startswith(name)), "")
