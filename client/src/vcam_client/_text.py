"""Predictions and model specs as text for a terminal."""

from collections.abc import Sequence

import numpy as np

from vcam_client.client import ServedSpec
from vcam_client.prediction import Prediction
from vcam_client.regions import Region, Regions
from vcam_client.results import DEFAULT_CHOICES, Choices, truth_of
from vcam_client.spec import Activation, Fit, Metric
from vcam_client.trust import Trust
from vcam_client.truth import Agreement
from vcam_client.volume import Volume

_BOXES = 3
"""Regions that are listed; the JSON has all."""
_SMALL_MM3, _LARGE_MM3 = 10.0, 1e6
"""Below the one, volumes are in mm³; from the other, whole cm³ say enough."""


def describe_predictions(
    predictions: Sequence[Prediction], choices: Choices = DEFAULT_CHOICES
) -> str:
    """Scan, model, scores, and where the evidence for each class explained lies.

    Args:
        predictions: at least one, all of one scan.
        choices: as for `results.write_results`.
    """
    first = predictions[0]
    volume, spec = first.volume, first.spec
    own = first.explanation == spec.default_explanation
    method = "" if own else f", {first.explanation.method} on {first.layer.name}"
    lines = [
        f"{volume.name}: {_describe_grid(volume)}",
        f"{spec.name}, version {first.version} (served as {first.model!r}){method}",
        "",
        *_describe_scores(first, mark=len(predictions) == 1),
        "",
    ]
    truth = truth_of(predictions, choices)
    for prediction in predictions:
        regions, agreement = prediction.measure(choices.level(prediction), truth)
        lines.append(_describe_evidence(prediction))
        rows = _against(prediction) if choices.shows_sign(prediction) else []
        rows += [] if regions is None else _describe_regions(regions, volume)
        rows += [] if agreement is None else _describe_agreement(agreement, volume)
        lines += [f"  {name:<8} {text}".rstrip() for name, text in rows]
        if len(predictions) > 1:
            prediction.release()
    remarks = [
        *_trust(predictions),
        *first.remarks,
        *(truth.remarks if truth else ()),
    ]
    return "\n".join([*lines, "", *remarks] if remarks else lines)


def _trust(predictions: Sequence[Prediction]) -> list[str]:
    """What was measured of such maps; where nothing is shown there is nothing to trust."""
    trust = predictions[0].spec.trust
    if trust is None or not any(one.has_evidence for one in predictions):
        return []
    if predictions[0].explanation.signature != trust.signature:
        return [f"How far to trust maps was measured for {trust.signature} alone, not for these."]
    return [trust.summary]


def describe_spec(model: str, served: ServedSpec) -> str:
    """What a user wants to know of a served model, a row each."""
    spec = served.spec
    grid, intensity, layer = spec.grid, spec.intensity, spec.default_layer
    axes = "".join(grid.axes) or "as stored"
    source = f" from {', '.join(intensity.modalities)}" if intensity.modalities else ""
    centres = [f"{o:g} + {s:g}·c" for o, s in zip(layer.offset, layer.stride, strict=True)]
    rows = [
        ("model", f"{spec.name} (served as {model!r}, version {served.version})"),
        ("about", spec.description),
        ("intended use", spec.intended_use),
        ("licence", spec.licence),
        ("labels", f"{', '.join(spec.labels)} ({spec.activation.name.lower()})"),
        ("unit", spec.unit),
        ("explains", spec.explain_default.name.lower().replace("_", " ")),
        ("grid", f"{_by(grid.shape)}, axes {axes}, {_FIT[grid.fit]}"),
        ("spacing", f"{_by(grid.spacing_mm)} mm" if grid.spacing_mm else ""),
        ("resampling", grid.resampling.name.lower()),
        ("slices", spec.slice_aggregation.name.lower() if spec.slice_aggregation else ""),
        ("input", f"{intensity.dtype} {intensity.units or 'values'}{source}"),
        ("intensity", intensity.transform),
        ("CAM layer", f"{layer.name}: {_by(layer.cells)} cells, centres at {', '.join(centres)}"),
        ("trained on", spec.provenance.data_set),
        ("created", spec.provenance.created_at),
        *((f"{m.split} {m.name}".strip(), _figure(m)) for m in spec.metrics),
    ]
    trust = [] if spec.trust is None else _describe_trust(spec.trust)
    return "\n".join([*_aligned([row for row in rows if row[1]]), *trust])


def _describe_trust(trust: Trust) -> list[str]:
    """What was found when a model's maps were checked."""
    depends = {True: "yes", False: "no", None: "not known"}[trust.depends_on_weights]
    figures = [(metric.name, _figure(metric, "control")) for metric in trust.figures]
    checked = f", checked {trust.measured_at}" if trust.measured_at else ""
    rows = _aligned([("depends on the weights", depends), *figures])
    return ["", f"Maps by {trust.signature}{checked}", trust.summary, *(f"  {row}" for row in rows)]


def _aligned(rows: "_Rows") -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


_FIT = {Fit.STRETCH: "scans are stretched onto it", Fit.SPACING: "at a spacing of its own"}


def _describe_scores(prediction: Prediction, *, mark: bool) -> list[str]:
    """A line for each label, highest score first."""
    spec, percent = prediction.spec, prediction.percentages
    width = max(map(len, spec.labels))
    lines = []
    for n in sorted(range(len(spec.labels)), key=lambda n: -prediction.scores[n]):
        label = spec.labels[n]
        value = (
            f"{prediction.scores[n]:.5g} {spec.unit}"
            if percent is None
            else f"{percent[label]:6.2f} %"
        )
        explained = "  ← explained" if mark and n == prediction.class_index else ""
        lines.append(f"  {label:<{width}}  {value}{explained}")
    return lines


def _describe_evidence(prediction: Prediction) -> str:
    evidence, volume = prediction.evidence, prediction.volume
    if not evidence.found:
        return prediction.no_evidence
    strength = (
        f"{evidence.strength:.0%} as strong as in a typical true positive; "
        if evidence.strength is not None
        else ""
    )
    what = "What raises" if _is_value(prediction) else "Evidence for"
    return (
        f"{what} {prediction.label}: strongest at {_place(volume, evidence.voxel)}; "
        f"{strength}{_extent(volume, evidence.share, evidence.volume_mm3)} above half of the "
        "maximum."
    )


_Rows = list[tuple[str, str]]


def _against(prediction: Prediction) -> _Rows:
    """What the signed map adds."""
    voxel = prediction.map.strongest(np.minimum(prediction.map.signed, 0))
    against = "lowers" if _is_value(prediction) else "against"
    if voxel is None:
        what = "lowers the value" if _is_value(prediction) else "contradicts the class"
        return [(against, f"nothing in the map {what}")]
    return [(against, f"strongest at {_place(prediction.volume, voxel)}")]


def _is_value(prediction: Prediction) -> bool:
    return prediction.spec.activation is Activation.IDENTITY


def _describe_regions(regions: Regions, volume: Volume) -> _Rows:
    found = regions.largest_first
    level = f"at least {regions.threshold:g}: "
    if not found:
        return [("mask", f"{level}empty")]
    rows = [
        (
            "mask",
            f"{level}{_extent(volume, regions.share, regions.volume_mm3)} in "
            f"{len(found)} region{'s' if len(found) > 1 else ''}",
        )
    ]
    rows += [(f"box {n}", _box(r, volume)) for n, r in enumerate(found[:_BOXES], start=1)]
    if len(found) > _BOXES:
        rows.append(("", f"and {len(found) - _BOXES} more, smaller"))
    return rows


def _box(region: Region, volume: Volume) -> str:
    if volume.is_picture:
        (left, top, _), (right, bottom, _) = region.lower, region.upper
        where = f"columns {left} to {right}, rows {top} to {bottom}"
    else:
        where = f"voxels {_point(region.lower, 0)} to {_point(region.upper, 0)}"
    if region.world_lower is not None and region.world_upper is not None:
        where += f", RAS {_point(region.world_lower)} to {_point(region.world_upper)} mm"
    size = _extent(volume, region.voxels / volume.data.size, region.volume_mm3)
    return f"{where}; {size}, peak {region.peak:.2f}"


def _describe_agreement(agreement: Agreement, volume: Volume) -> _Rows:
    size = _extent(volume, agreement.chance, agreement.truth_volume_mm3)
    if agreement.dice is None:
        return [("truth", "empty: there is nothing to compare with")]
    level, by_chance = f"at least {agreement.threshold:g}", f"{agreement.dice_chance:.2f} by chance"
    rows = [("truth", size)]
    rows.append(
        ("Dice", f"{agreement.dice:.2f} ({by_chance}), IoU {agreement.iou:.2f}; heatmap {level}")
    )
    if agreement.pointing is None or agreement.energy is None:
        return rows
    off = "" if agreement.distance_mm is None else f", {agreement.distance_mm:.1f} mm off"
    where = "inside" if agreement.pointing else f"outside{off}"
    chance = f"({agreement.chance:.2%} by chance)"
    return [
        *rows,
        ("pointing", f"the strongest cell lies {where} {chance}"),
        ("energy", f"{agreement.energy:.1%} of the heatmap lies inside {chance}"),
    ]


def _place(volume: Volume, voxel: tuple[float, float, float]) -> str:
    """Where a voxel lies, in words."""
    i, j, _ = (round(v) for v in voxel)
    where = f"column {i}, row {j}" if volume.is_picture else f"voxel {_point(voxel, 0)}"
    if volume.spacing_known:
        where += f", RAS {_point(volume.world(voxel))} mm"
    return where


def _point(values: Sequence[float], digits: int = 1) -> str:
    return f"({', '.join(f'{round(v, digits) + 0.0:.{digits}f}' for v in values)})"


def _extent(volume: Volume, share: float, mm3: float | None) -> str:
    """How large a part of a scan is, in the best unit there is."""
    if mm3 is None:
        return f"{share:.1%} of the {'picture' if volume.is_picture else 'scan'}"
    if mm3 < _SMALL_MM3:
        return f"{mm3:.3g} mm³"
    return f"{mm3 / 1000:.3g} cm³" if mm3 < _LARGE_MM3 else f"{mm3 / 1000:,.0f} cm³"


def _describe_grid(volume: Volume) -> str:
    axes = 2 if volume.is_picture else 3
    spacing = "×".join(f"{s:.3g}" for s in volume.spacing[:axes])
    of = f"of {spacing} mm" if volume.spacing_known else "(spacing unknown)"
    kind = "pixels" if volume.is_picture else "voxels"
    return f"{_by(volume.shape[:axes])} {kind} {of}, {''.join(volume.orientation[:axes])}"


def _figure(metric: Metric, beside: str = "chance") -> str:
    text = f"{metric.value:.4g}"
    if metric.lower is not None and metric.upper is not None:
        text += f" [{metric.lower:.4g}, {metric.upper:.4g}]"
    if metric.count is not None:
        text += f", n = {metric.count}"
    if metric.chance is not None:
        text += f", {beside} {metric.chance:.4g}"
    return text


def _by(sizes: tuple[int, ...] | tuple[float, ...]) -> str:
    return "×".join(f"{n:g}" for n in sizes)
