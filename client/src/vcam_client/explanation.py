"""How a model's maps can be asked for."""

import math
from dataclasses import dataclass

from vcam_client.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A signature that returns maps: a CAM method on a layer.

    Attributes:
        signature: takes `volume` and `class_index`.
        method: "gradcam", "gradcam_plus_plus", "hirescam", "layercam".
        layer: name of one of the spec's CAM layers.
        reference_maximum: typical largest cell of a true positive's map, or None.
        evidence_minimum: a map whose largest cell is no larger is no evidence; fitted on
            validation data, or None.
        threshold: value of the heatmap, above 0 and up to 1, from which a voxel counts
            as marked; fixed on validation data, or None.
    """

    signature: str
    method: str
    layer: str
    reference_maximum: float | None = None
    evidence_minimum: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("reference_maximum", "evidence_minimum"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ContractError(
                    f"Explanation {self.signature!r}: expected {name} ≥ 0, received {value}. "
                    "Export the model again."
                )
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ContractError(
                f"Explanation {self.signature!r}: expected a threshold above 0 and up to 1, "
                f"received {self.threshold}. Export the model again."
            )
