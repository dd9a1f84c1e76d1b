"""All that was measured of a model's maps."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import Explanation, ModelSpec, Trust
from vcam_training.evaluation.reliability import Reliability
from vcam_training.trust.checks import Check
from vcam_training.trust.figure import Curve, Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A scan and its map, to be looked at.

    Attributes:
        number: of the scan in its split.
        right: whether class and place are right, as far as that is known.
        caption: what is to be seen, one sentence.
        volume: [*grid], physical values.
        heatmap: float32 [*grid] in [0, 1].
        mask: bool [*grid]; all false without an object.
    """

    number: int
    right: bool
    caption: str
    volume: NDArray = field(repr=False)
    heatmap: NDArray[np.float32] = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrustReport:
    """How far a model's maps were found to be trustworthy.

    Attributes:
        spec: the model's, with the levels of each explanation filled in.
        explanation: the one that was tested.
        scans: held-out scans whose maps were looked at.
        samples: as many of them where each costs much.
        seeds: of the random weights.
        measured_at: RFC 3339, UTC.
        summary: one line for people.
        checks: questions and answers; the first is about the weights.
        depends_on_weights: whether maps change when the weights are randomised; None
            where the controls failed.
        figures: with intervals and controls.
        fractions: share of voxels replaced, the points of `score_curves`.
        score_curves: deletion, insertion and their controls.
        layers: after which layer maps were compared, see `Cascade`: the points of `weight_curves`.
        weight_curves: similarity of the map and of the controls, by name.
        reliability: of the calibrated scores on the held-out scans.
        examples: maps to be looked at.
    """

    spec: ModelSpec
    explanation: Explanation
    scans: int
    samples: int
    seeds: tuple[int, ...]
    measured_at: str
    summary: str
    checks: tuple[Check, ...]
    depends_on_weights: bool | None
    figures: tuple[Figure, ...]
    fractions: tuple[float, ...]
    score_curves: tuple[Curve, ...]
    layers: tuple[str, ...]
    weight_curves: tuple[Curve, ...]
    reliability: Reliability
    examples: tuple[Example, ...]

    @property
    def trust(self) -> Trust:
        """What travels with the model."""
        return Trust(
            summary=self.summary,
            signature=self.explanation.signature,
            depends_on_weights=self.depends_on_weights,
            figures=tuple(figure.metric for figure in self.figures),
            measured_at=self.measured_at,
        )

    def figure(self, name: str) -> Figure:
        """The figure of that name; KeyError if it was not measured."""
        found = next((figure for figure in self.figures if figure.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values: everything but the pictures."""
        return {
            "model": self.spec.name,
            "explanation": asdict(self.explanation),
            "measured_at": self.measured_at,
            "summary": self.summary,
            "depends_on_weights": self.depends_on_weights,
            "scans": self.scans,
            "samples": self.samples,
            "seeds": list(self.seeds),
            "checks": [asdict(check) for check in self.checks],
            "figures": [figure.to_json_dict() for figure in self.figures],
            "score_curves": {
                "fractions": list(self.fractions),
                "curves": [curve.to_json_dict() for curve in self.score_curves],
            },
            "weight_curves": {
                "layers": list(self.layers),
                "curves": [curve.to_json_dict() for curve in self.weight_curves],
            },
            "reliability": asdict(self.reliability),
            "examples": [
                {"scan": one.number, "right": one.right, "caption": one.caption}
                for one in self.examples
            ],
        }
