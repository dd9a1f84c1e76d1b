"""What a map says before anybody looks at a picture, and which maps say nothing."""

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.explanation import Explanation
from vcam_client.spec import ModelSpec

HEATMAP_STEP = 1 / 255
"""Value of one step of a stored heatmap (uint8, 255 = strongest cell)."""

SIGNED_STEP = 1 / 127
"""Value of one step of a stored signed map (int8, ±127 = largest magnitude of a cell)."""

EVIDENCE_LEVEL = 0.5
"""Heatmap value from which a voxel counts towards the evidence volume."""

NO_EVIDENCE_SHARE = 1 / 3
"""Share of the spec's reference maximum up to which a map is no evidence.

On 240 held-out phantoms the largest cells of detected lesions were 0.41 to 2.15 of the
reference, those of volumes rightly called clear 0.17 to 0.66, three quarters below 0.35.
"""

FLAT = 0.01
"""Range of a map's cells, as a share of the largest, up to which it points nowhere."""

_LOOKED_AT = 32
"""Voxels along each axis that are looked at before all are."""


class Finding(enum.Enum):
    """Whether a map holds evidence for the class explained, and if not, why."""

    EVIDENCE = "evidence"
    NOTHING_POSITIVE = "nothing positive"
    """No cell is above 0."""
    WEAK = "weak"
    """The largest cell is no larger than in maps of scans that show nothing."""
    FLAT = "flat"
    """All cells are alike: the map points nowhere."""
    NO_CONTRAST = "no contrast"
    """All voxels look the same to the model: whatever the map shows is not in the scan."""


def nothing_up_to(explanation: Explanation) -> float:
    """Largest cell up to which a map is no evidence."""
    if explanation.evidence_minimum is not None:
        return explanation.evidence_minimum
    return NO_EVIDENCE_SHARE * (explanation.reference_maximum or 0.0)


def finding(cells: NDArray[np.float32], nothing: float, *, contrast: bool = True) -> Finding:
    """What a raw map holds.

    Args:
        cells: float32 [*cells], raw and signed.
        nothing: see `nothing_up_to`.
        contrast: whether the model saw anything but one value.
    """
    low, high = float(cells.min()), float(cells.max())
    if not contrast:
        return Finding.NO_CONTRAST
    if high <= 0:
        return Finding.NOTHING_POSITIVE
    if high - low <= FLAT * high:
        return Finding.FLAT
    return Finding.EVIDENCE if high > nothing else Finding.WEAK


def has_contrast(values: NDArray[Any], spec: ModelSpec) -> bool:
    """Whether a scan, or what the model sees of it, is anything but one value.

    Args:
        values: of any shape, in the spec's units.
        spec: values beyond its window look the same to the model.
    """
    # a few voxels settle it for nearly every scan
    few = tuple(slice(None, None, max(1, n // _LOOKED_AT)) for n in values.shape)
    return _differ(values[few], spec) or _differ(values, spec)


def _differ(values: NDArray[Any], spec: ModelSpec) -> bool:
    low, high = values.min(), values.max()
    window = spec.intensity.window
    if window is not None:
        low, high = np.clip(low, *window), np.clip(high, *window)
    return bool(low < high)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the map says, before anybody looks at a picture.

    Attributes:
        finding: whether the map holds evidence for the class explained, else why not.
        raw_maximum, raw_minimum: largest and smallest cell of the raw cam.
        positive_fraction: share of cells above zero.
        reference_maximum: the spec's typical maximum of a true positive, or None.
        cell: cell of the maximum, tensor axes (sliced axis first for 2-D models).
        voxel: scan index (i, j, k) of that cell's centre; may be fractional.
        world: RAS+ millimetres of that centre; None where the spacing is unknown.
        share: share of the scan's voxels where the heatmap is at least EVIDENCE_LEVEL.
        volume_mm3: their volume; None for a picture or where the spacing is unknown.
    """

    finding: Finding
    raw_maximum: float
    raw_minimum: float
    positive_fraction: float
    reference_maximum: float | None
    cell: tuple[int, ...]
    voxel: tuple[float, float, float]
    world: tuple[float, float, float] | None
    share: float
    volume_mm3: float | None

    @property
    def found(self) -> bool:
        """Whether the map holds evidence for the class explained."""
        return self.finding is Finding.EVIDENCE

    @property
    def strength(self) -> float | None:
        """The largest cell as a share of a typical true positive's, where that is known."""
        return self.raw_maximum / self.reference_maximum if self.reference_maximum else None
