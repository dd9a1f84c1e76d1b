"""Predictions and model specs as text for a terminal."""

from vcam_client.client import ServedSpec
from vcam_client.prediction import Prediction
from vcam_client.spec import Fit, Metric
from vcam_client.volume import Volume


def describe_prediction(prediction: Prediction) -> str:
    """Scan, model, scores and where the evidence lies."""
    volume, spec = prediction.volume, prediction.spec
    lines = [
        f"{volume.name}: {_describe_grid(volume)}",
        f"{spec.name}, version {prediction.version} (served as {prediction.model!r})",
        "",
    ]
    percent = prediction.percentages
    width = max(map(len, spec.labels))
    for n in sorted(range(len(spec.labels)), key=lambda n: -prediction.scores[n]):
        label = spec.labels[n]
        value = (
            f"{prediction.scores[n]:.5g} {spec.unit}"
            if percent is None
            else f"{percent[label]:6.2f} %"
        )
        mark = "  ← explained" if n == prediction.class_index else ""
        lines.append(f"  {label:<{width}}  {value}{mark}")
    lines += ["", _describe_evidence(prediction)]
    if prediction.remarks:
        lines += ["", *prediction.remarks]
    return "\n".join(lines)


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
    shown = [(name, value) for name, value in rows if value]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown)


_FIT = {Fit.STRETCH: "scans are stretched onto it", Fit.SPACING: "at a spacing of its own"}


def _describe_evidence(prediction: Prediction) -> str:
    evidence = prediction.evidence
    if not evidence.found:
        return prediction.no_evidence
    i, j, k = (round(v) for v in evidence.voxel)
    where = f"voxel ({i}, {j}, {k})"
    if prediction.volume.is_picture:
        where = f"column {i}, row {j}"
    if evidence.world is not None:
        x, y, z = evidence.world
        where += f", RAS ({x:.1f}, {y:.1f}, {z:.1f}) mm"
    strength = (
        f"{evidence.strength:.0%} of a typical true positive's; "
        if evidence.strength is not None
        else ""
    )
    extent = (
        f"{evidence.share:.1%} of the {'picture' if prediction.volume.is_picture else 'scan'}"
        if evidence.volume_mm3 is None
        else f"{evidence.volume_mm3 / 1000:.3g} cm³"
    )
    return (
        f"Evidence for {prediction.label}: strongest at {where}; {strength}"
        f"{extent} above half of the maximum."
    )


def _describe_grid(volume: Volume) -> str:
    axes = 2 if volume.is_picture else 3
    spacing = "×".join(f"{s:.3g}" for s in volume.spacing[:axes])
    of = f"of {spacing} mm" if volume.spacing_known else "(spacing unknown)"
    kind = "pixels" if volume.is_picture else "voxels"
    return f"{_by(volume.shape[:axes])} {kind} {of}, {''.join(volume.orientation[:axes])}"


def _figure(metric: Metric) -> str:
    text = f"{metric.value:.4g}"
    if metric.lower is not None and metric.upper is not None:
        text += f" [{metric.lower:.4g}, {metric.upper:.4g}]"
    if metric.count is not None:
        text += f", n = {metric.count}"
    if metric.chance is not None:
        text += f", chance {metric.chance:.4g}"
    return text


def _by(sizes: tuple[int, ...] | tuple[float, ...]) -> str:
    return "×".join(f"{n:g}" for n in sizes)
