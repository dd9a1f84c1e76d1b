"""What a map says before anybody looks at a picture, and which maps say nothing."""

from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the map says, before anybody looks at a picture.

    Attributes:
        found: whether the map holds evidence for the class explained.
        raw_maximum, raw_minimum: largest and smallest cell of the raw cam.
        positive_fraction: share of cells above zero.
        reference_maximum: the spec's typical maximum of a true positive, or None.
        cell: cell of the maximum, tensor axes (sliced axis first for 2-D models).
        voxel: scan index (i, j, k) of that cell's centre; may be fractional.
        world: RAS+ millimetres of that centre; None where the spacing is unknown.
        share: share of the scan's voxels where the heatmap is at least EVIDENCE_LEVEL.
        volume_mm3: their volume; None for a picture or where the spacing is unknown.
    """

    found: bool
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
    def strength(self) -> float | None:
        """The largest cell as a share of a typical true positive's, where that is known."""
        return self.raw_maximum / self.reference_maximum if self.reference_maximum else None
