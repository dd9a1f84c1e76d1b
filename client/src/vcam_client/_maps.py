"""Maps and masks of a prediction as files: NIfTI, or PNG for a picture."""

from typing import Any

from numpy.typing import NDArray

from vcam_client.evidence import HEATMAP_STEP, SIGNED_STEP
from vcam_client.prediction import Prediction

_SIGNED_ZERO = 128
"""Grey value of 0 in a signed map that is a picture; ±127 are ±1."""
_MARKED = 255
"""Grey value of a marked pixel in a mask that is a picture."""


def suffix(prediction: Prediction) -> str:
    """How the names of its maps end."""
    return ".png" if prediction.volume.is_picture else ".nii.gz"


def map_file(prediction: Prediction, *, signed: bool) -> bytes:
    """The heatmap or the signed map."""
    if not prediction.volume.is_picture:
        return map_nifti(prediction, signed=signed)
    from vcam_client._pictures import grey_png

    if not signed:
        return grey_png(prediction.stored_heatmap[:, :, 0].T)
    shifted = prediction.stored_signed_map[:, :, 0].T.astype("i2") + _SIGNED_ZERO
    return grey_png(shifted.astype("u1"))


def map_nifti(prediction: Prediction, *, signed: bool) -> bytes:
    """A gzipped NIfTI: uint8 in steps of HEATMAP_STEP, or int8 in steps of SIGNED_STEP."""
    from vcam_client._nifti import nifti_bytes

    if signed:
        return nifti_bytes(prediction.stored_signed_map, prediction.volume, SIGNED_STEP)
    return nifti_bytes(prediction.stored_heatmap, prediction.volume, HEATMAP_STEP)


def mask_file(prediction: Prediction, mask: NDArray[Any]) -> bytes:
    """A mask, uint8 [I, J, K] of 0 and 1; 0 and 255 in a picture."""
    if prediction.volume.is_picture:
        from vcam_client._pictures import grey_png

        return grey_png(mask[:, :, 0].T * mask.dtype.type(_MARKED))
    from vcam_client._nifti import nifti_bytes

    return nifti_bytes(mask, prediction.volume, 1)
