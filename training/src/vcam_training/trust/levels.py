"""Fills in what a spec does not know of its explanations: from which level on they speak."""

from dataclasses import replace

import keras

from vcam_client.spec import Explanation, ModelSpec
from vcam_training.cams.target_layer import target_layer
from vcam_training.data.dataset import Split
from vcam_training.evaluation.evidence_levels import EvidenceLevels, measure

_LEVELS = ("reference_maximum", "evidence_minimum", "threshold")


def with_levels(model: keras.Model, spec: ModelSpec, validation: Split) -> ModelSpec:
    """The spec with the levels that it lacks, measured on validation; known ones stay.

    Args:
        model: a training model.
        spec: its spec; without explanations it gets its default one.
        validation: scans to measure on.
    """
    known = spec.explanations or (spec.default_explanation,)
    lacking: dict[str, list[str]] = {}
    for one in known:
        if any(getattr(one, name) is None for name in _LEVELS):
            lacking.setdefault(one.layer, []).append(one.method)
    found = {
        layer: measure(
            model, target_layer(model, layer).place, validation, methods=tuple(methods)
        ).levels
        for layer, methods in lacking.items()
    }
    filled = tuple(
        _filled(one, found[one.layer][one.method])
        if one.method in found.get(one.layer, {})
        else one
        for one in known
    )
    return replace(spec, explanations=filled)


def _filled(explanation: Explanation, levels: EvidenceLevels) -> Explanation:
    own = {name: getattr(explanation, name) for name in _LEVELS}
    measured = {name: getattr(levels, name) for name in _LEVELS}
    return replace(
        explanation,
        **{name: measured[name] if value is None else value for name, value in own.items()},
    )
