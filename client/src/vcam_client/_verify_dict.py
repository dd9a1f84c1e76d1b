"""A verification as what JSON and an image file hold: docs/verify.md explains every field."""

from typing import Any

import numpy as np

from vcam_client.evidence import SIGNED_STEP
from vcam_client.prediction import Prediction
from vcam_client.verification import Outcome, Verification

SCHEMA = "vcam-verify/1"
"""The schema that files name: client/src/vcam_client/verify.schema.json."""
_ZERO = 128
"""Grey value of no drop in an occlusion map that is a picture; ±127 are the largest one."""


def verification_dict(verification: Verification) -> dict[str, Any]:
    """One scan, one class: what was hidden, what became of the score, and what that says."""
    prediction = verification.prediction
    volume, spec = prediction.volume, prediction.spec
    return {
        "schema": SCHEMA,
        "scan": volume.name,
        "model": prediction.model,
        "model_version": prediction.version,
        "model_spec_name": spec.name,
        "method": prediction.explanation.method,
        "layer": prediction.layer.name,
        "label": prediction.label,
        "class_index": prediction.class_index,
        "unit": spec.unit or None,
        "verdict": verification.verdict.value,
        "undecided": verification.undecided or None,
        "fill": {"kind": verification.fill_kind, "value": verification.fill},
        "marked_level": verification.level,
        "whole": _outcome(verification, verification.whole),
        "marked_hidden": _outcome(verification, verification.marked),
        "rest_hidden": _outcome(verification, verification.rest),
        "controls": [_outcome(verification, control) for control in verification.controls],
        "occlusion": _occlusion(verification),
        "remarks": prediction.remarks,
        "timings_s": {**prediction.timings, "verify": verification.seconds},
        "calls": verification.calls,
        "inputs": verification.inputs,
        "traffic_bytes": {
            "sent": verification.traffic.sent,
            "received": verification.traffic.received,
        },
        "file": occlusion_name(verification),
    }


def occlusion_name(verification: Verification) -> str:
    """File name of the occlusion map."""
    volume = verification.prediction.volume
    return f"{volume.name}_occlusion.{'png' if volume.is_picture else 'nii.gz'}"


def occlusion_file(verification: Verification) -> bytes:
    """The occlusion map on the scan's grid: NIfTI of logit drops, or a grey picture."""
    volume, occlusion = verification.prediction.volume, verification.occlusion
    stored = occlusion.map.on_scan(occlusion.map.signed, np.int8, 1 / SIGNED_STEP)
    if volume.is_picture:
        from vcam_client._pictures import grey_png

        return grey_png((stored[:, :, 0].T.astype("i2") + _ZERO).astype("u1"))
    from vcam_client._nifti import nifti_bytes

    largest = occlusion.largest or 1.0
    return nifti_bytes(stored, volume, SIGNED_STEP * largest, largest)


def _outcome(verification: Verification, outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "hidden_share": outcome.hidden_share,
        "score": outcome.score,
        "logit": outcome.logit,
        "logit_drop": verification.whole.logit - outcome.logit,
    }


def _occlusion(verification: Verification) -> dict[str, Any]:
    prediction: Prediction = verification.prediction
    occlusion, volume = verification.occlusion, prediction.volume
    voxel, known = occlusion.voxel, volume.spacing_known
    affine = volume.affine @ occlusion.map.cell_to_scan() + 0.0  # no -0
    return {
        "blocks": list(occlusion.logit_drops.shape),
        "block_voxels": list(occlusion.layer.stride),
        "affine_ras_mm": affine.tolist() if known else None,
        "logit_drops": occlusion.logit_drops.tolist(),
        "score_drops": occlusion.score_drops.tolist(),
        "largest_logit_drop": float(occlusion.logit_drops.max()),
        "strongest_block": None if occlusion.strongest is None else list(occlusion.strongest),
        "strongest_voxel_ijk": None if voxel is None else list(voxel),
        "strongest_world_ras_mm": list(volume.world(voxel)) if voxel and known else None,
        "strongest_is_marked": occlusion.strongest_is_marked,
        "strongest_marked_share": occlusion.strongest_marked_share,
        "chance": occlusion.chance,
        "rank_correlation": occlusion.rank_correlation,
    }
