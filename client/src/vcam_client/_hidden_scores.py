"""Scores of a scan with parts of it hidden, in batches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam_client._calls import Call, Steps, Target, Traffic
from vcam_client._explaining import asked, checked, checked_scores, together
from vcam_client._hiding import Region, measured
from vcam_client._score_logit import score_logits
from vcam_client.prediction import Prediction
from vcam_client.verification import Outcome

Progress = Callable[[int, int], None]
"""Told how many of how many inputs of the model are done."""

_MOST_BYTES = 16_000_000
"""Of the volumes or slices in one call, unless a single one is larger."""
_MOST_INPUTS = 16
_MOST_FROM_AROUND = 0.5
"""Share of what was measured above which a region has no surroundings to speak of."""
_OUTPUTS = ("scores", "logits")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What parts are hidden of.

    Attributes:
        prediction: which scan, model and class.
        tensor: the scan on the model's grid, three tensor axes, in the spec's dtype.
        real: bool, of its size: what was measured.
        fill: what is put in place of hidden voxels.
        from_around: whether parts of the scan take what goes on from around them
            instead; what is most of the scan never does.
    """

    prediction: Prediction
    tensor: NDArray[Any]
    real: NDArray[np.bool_]
    fill: float
    from_around: bool

    @classmethod
    def of(cls, prediction: Prediction, fill: str) -> "Subject":
        """Prepares a scan anew.

        Args:
            prediction: its explanation.
            fill: "surroundings", "median" of the voxels measured, or "padding".
        """
        spec, volume, placement = prediction.spec, prediction.volume, prediction.placement
        tensor = placement.to_model(volume.data, spec.intensity.dtype, padding=volume.padding)
        real = measured(volume, placement)
        value = spec.grid.padding_value
        if fill != "padding" and real.any():
            value = float(np.median(tensor[real]))
        if tensor.dtype.kind in "iu":
            limits = np.iinfo(tensor.dtype)
            value = float(min(max(round(value), limits.min), limits.max))
        return cls(
            prediction=prediction,
            tensor=tensor,
            real=real,
            fill=value,
            from_around=fill == "surroundings",
        )

    @property
    def inputs(self) -> NDArray[Any]:
        """[N, *grid]: the volume, the image, or each slice of a stack."""
        return self.tensor[None] if self.prediction.spec.grid.ndim == 3 else self.tensor

    def changed_by(self, region: Region | None) -> Sequence[int]:
        """Which inputs a region changes; without one, all of them."""
        if region is None:
            return range(len(self.inputs))
        return (0,) if self.prediction.spec.grid.ndim == 3 else region.slices

    def filling(self, region: Region) -> NDArray[Any]:
        """What is put in place of a region, of its box's size."""
        constant = np.full(region.inside.shape, self.fill, self.tensor.dtype)
        if not self.from_around or self.share(region) > _MOST_FROM_AROUND:
            return constant
        values, found = region.surroundings(self.tensor, self.real, self._gap)
        if not found:
            return constant
        if self.tensor.dtype.kind in "iu":
            values = np.rint(values)
        return values.astype(self.tensor.dtype)

    @property
    def _gap(self) -> tuple[int, int, int]:
        """A cell of the map: how far what it marks may be from an object's own border."""
        d, h, w = (math.ceil(stride) for stride in self.prediction.layer.stride)
        return (d, h, w)

    def paint(
        self, out: NDArray[Any], n: int, region: Region | None, filling: NDArray[Any] | None
    ) -> None:
        """Writes input `n` to `out`, [*grid], with a region hidden by its filling."""
        out[...] = self.inputs[n]
        if region is None or filling is None:
            return
        if self.prediction.spec.grid.ndim == 3:
            region.hide(out, filling)
        else:
            region.hide_in_slice(out, n, filling)

    def share(self, region: Region | None) -> float:
        """Share of what was measured that a region hides."""
        return region.voxels / max(1, int(np.count_nonzero(self.real))) if region else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class HiddenScores:
    """Outcomes of hiding each region, and what they took.

    Attributes:
        outcomes: one for each region.
        calls, inputs: how often the server was asked, and for how many inputs of the model.
        traffic: bytes of all calls.
    """

    outcomes: list[Outcome]
    calls: int
    inputs: int
    traffic: Traffic


def hidden_scores(
    subject: Subject, regions: Sequence[Region | None], progress: Progress | None
) -> Steps[HiddenScores]:
    """Scores the scan with each region hidden; the first one is None and hides nothing.

    Of a stack of slices only those that a region touches are asked for again.
    """
    prediction = subject.prediction
    spec, classes = prediction.spec, len(prediction.spec.labels)
    jobs = [(n, i) for n, region in enumerate(regions) for i in subject.changed_by(region)]
    at_once = max(1, min(_MOST_INPUTS, _MOST_BYTES // subject.inputs[0].nbytes, len(jobs)))
    batch = np.empty((at_once, *spec.grid.shape, 1), subject.tensor.dtype)
    rows = {name: np.empty((len(jobs), classes)) for name in _OUTPUTS}
    traffic, starts = Traffic(), range(0, len(jobs), at_once)
    hidden, filling = 0, None
    for start in starts:
        if progress is not None:
            progress(start, len(jobs))
        part = jobs[start : start + at_once]
        for slot, (n, i) in zip(batch, part, strict=False):
            region = regions[n]
            if n != hidden and region is not None:
                hidden, filling = n, subject.filling(region)
            subject.paint(slot[..., 0], i, region, filling)
        answer = yield from asked(
            Call(
                target=Target(model=prediction.model, version=prediction.version),
                signature="scores",
                inputs={"volume": batch[: len(part)]},
                outputs=_OUTPUTS,
            )
        )
        here = slice(start, start + len(part))
        rows["scores"][here] = checked_scores(answer, len(part), spec)
        rows["logits"][here] = checked(answer, "logits", (len(part), classes))
        traffic += answer.traffic
    if progress is not None:
        progress(len(jobs), len(jobs))
    outcomes = []
    at, whole = 0, {name: values[: len(subject.inputs)] for name, values in rows.items()}
    for region in regions:
        changed = list(subject.changed_by(region))
        own = {name: values.copy() for name, values in whole.items()}
        for name, values in own.items():
            values[changed] = rows[name][at : at + len(changed)]
        at += len(changed)
        outcomes.append(
            Outcome(
                hidden_share=subject.share(region),
                score=float(together(own["scores"], spec)[prediction.class_index]),
                logit=float(score_logits(own["logits"], spec)[prediction.class_index]),
            )
        )
    return HiddenScores(outcomes=outcomes, calls=len(starts), inputs=len(jobs), traffic=traffic)
