"""Results as what JSON holds: docs/results.md explains every field."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vcam_client._result_names import Names
from vcam_client.evidence import EVIDENCE_LEVEL
from vcam_client.prediction import Prediction
from vcam_client.regions import Region, Regions
from vcam_client.truth import Truth

if TYPE_CHECKING:
    from vcam_client.results import Choices

SCHEMA = "vcam-result/1"
"""The schema that results name: client/src/vcam_client/result.schema.json."""


def result_dict(
    predictions: Sequence[Prediction],
    choices: "Choices",
    truth: Truth | None,
    names: Sequence[Names],
) -> dict[str, Any]:
    """One scan: what its predictions share, then each class that was explained."""
    first = predictions[0]
    volume, spec = first.volume, first.spec
    remarks = first.remarks
    if truth is not None:
        remarks += truth.remarks
        if not truth.voxels:
            remarks.append("The mask to compare with is empty: there is no Dice to speak of.")
    own = first.explanation.signature == (spec.trust.signature if spec.trust else None)
    return {
        "schema": SCHEMA,
        "scan": volume.name,
        "scan_shape": list(volume.shape),
        "scan_spacing_mm": list(volume.spacing) if volume.spacing_known else None,
        "model": first.model,
        "model_version": first.version,
        "model_spec_name": spec.name,
        "method": first.explanation.method,
        "scores": first.scores_by_label,
        "percentages": first.percentages,
        "unit": spec.unit or None,
        "trust": spec.trust.summary if spec.trust and own else None,
        "explanations": [
            _explanation(prediction, choices, truth, own)
            for prediction, own in zip(predictions, names, strict=True)
        ],
        "remarks": remarks,
        "timings_s": dict(first.timings),
        "traffic_bytes": {"sent": first.traffic.sent, "received": first.traffic.received},
    }


def _explanation(
    prediction: Prediction, choices: "Choices", truth: Truth | None, names: Names
) -> dict[str, Any]:
    regions, agreement = prediction.measure(choices.level(prediction), truth)
    affine = prediction.cam_affine
    return {
        "label": prediction.label,
        "class_index": prediction.class_index,
        "evidence": _evidence(prediction),
        "cam": {
            "layer": prediction.layer.name,
            "cells": list(prediction.cam.shape),
            "affine_ras_mm": None if affine is None else (affine + 0.0).tolist(),
        },
        "signed": choices.shows_sign(prediction),
        "mask": None if regions is None else _mask(regions),
        "truth": None if agreement is None else asdict(agreement),
        "files": asdict(names),
    }


def _evidence(prediction: Prediction) -> dict[str, Any]:
    evidence = prediction.evidence
    found = evidence.found
    return {
        "found": found,
        "finding": evidence.finding.value,
        "raw_maximum": evidence.raw_maximum,
        "raw_minimum": evidence.raw_minimum,
        "positive_fraction": evidence.positive_fraction,
        "reference_maximum": evidence.reference_maximum,
        "no_evidence_up_to": prediction.map.nothing,
        "strongest_cell_voxel_ijk": list(evidence.voxel) if found else None,
        "strongest_cell_world_ras_mm": list(evidence.world) if found and evidence.world else None,
        "share": evidence.share,
        "volume_mm3": evidence.volume_mm3,
        "volume_level": EVIDENCE_LEVEL,
    }


def _mask(regions: Regions) -> dict[str, Any]:
    return {
        "threshold": regions.threshold,
        "voxels": regions.voxels,
        "share": regions.share,
        "volume_mm3": regions.volume_mm3,
        "boxes": [_box(region) for region in regions.largest_first],
    }


def _box(region: Region) -> dict[str, Any]:
    lower, upper = region.world_lower, region.world_upper
    return {
        "voxel_ijk_lower": list(region.lower),
        "voxel_ijk_upper": list(region.upper),
        "world_ras_mm_lower": None if lower is None else list(lower),
        "world_ras_mm_upper": None if upper is None else list(upper),
        "voxels": region.voxels,
        "volume_mm3": region.volume_mm3,
        "peak": region.peak,
    }
