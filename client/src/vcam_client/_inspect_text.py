"""An inspection as text for a terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vcam_client.inspection import Inspection, describe
from vcam_client.volume import Volume

_UNKNOWN = "unknown"
_MOST_SCANS = 20


def describe_inspection(inspection: Inspection, *, identifiers: bool = False) -> str:
    """Series found and left out, then the volume that is read, or why there is none."""
    blocks = [inspection.name]
    if inspection.series:
        blocks.append(_series(inspection, identifiers))
    if inspection.scans:
        blocks.append(_scans(inspection.scans, "other scans" if inspection.series else "scans"))
    if inspection.left_out:
        rows = [f"  {count} × {reason}" for reason, count in inspection.left_out.items()]
        blocks.append("left out\n" + "\n".join(rows))
    if inspection.volume is not None:
        blocks.append(_volume(inspection.volume))
    if inspection.ambiguous:
        blocks.append("Choose a series with --series NUMBER.")
    elif inspection.scans and not inspection.series:
        blocks.append(str(inspection.error))
    return "\n\n".join(blocks)


def _scans(keys: Sequence[str], title: str) -> str:
    rows = [f"  {_on_one_line(key)}" for key in keys[:_MOST_SCANS]]
    more = len(keys) - _MOST_SCANS
    return "\n".join([title, *rows, *([f"  … and {more} more"] if more > 0 else [])])


def _on_one_line(name: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _series(inspection: Inspection, identifiers: bool) -> str:
    lines = ["series"]
    often = Counter(facts.uid for facts in inspection.series if facts.uid)
    for facts in inspection.series:
        mark = "  ← read" if facts.number == inspection.chosen and inspection.volume else ""
        number = f"series number {facts.series_number}" if facts.series_number else ""
        columns = [
            f"{facts.number:>3}",
            facts.modality or "?",
            f"{_by(facts.shape)} in {facts.files} {'file' if facts.files == 1 else 'files'}",
            f"{_by(facts.spacing_mm)} mm" if facts.spacing_mm else "spacing unknown",
            facts.orientation,
            facts.stored,
            facts.transfer_syntax,
            number,
        ]
        lines.append("  ".join(c for c in columns if c) + mark)
        if identifiers:
            lines.append(f"     {facts.description or 'no description'}, {facts.uid or 'no UID'}")
        if facts.differs:
            others = "in its series" if often[facts.uid] > 1 else "from similar rows"
            lines.append(f"     · what sets it apart {others}: {', '.join(facts.differs)}")
        # of the volume that is read, they stand among its notes
        told = inspection.volume.warnings if mark and inspection.volume else ()
        lines += [f"     · {quirk}" for quirk in facts.quirks if quirk not in told]
        if facts.refusal and facts.refusal != str(inspection.error):
            lines.append(f"     ✗ {facts.refusal}")
    return "\n".join(lines)


def _volume(volume: Volume) -> str:
    facts = describe(volume)
    spacing = facts["spacing_mm"]
    extent = [n * s for n, s in zip(volume.shape, volume.spacing, strict=True)]
    affine = [" ".join(f"{v:10.4f}" for v in row) for row in volume.affine[:3].round(4) + 0.0]
    rows: list[tuple[str, Any]] = [
        ("modality", facts["modality"]),
        ("voxels", f"{_by(volume.shape)}, {facts['dtype']}"),
        ("spacing", f"{_by(spacing)} mm" if spacing else _UNKNOWN),
        ("extent", f"{'×'.join(f'{mm:.3g}' for mm in extent)} mm" if spacing else None),
        ("axes run to", _directions(volume) if volume.anatomical else None),
        ("place", None if volume.anatomical else "unknown: no anatomical directions are stated"),
        ("sheared", _sheared(volume)),
        ("affine", affine[0] + "  (voxel centre to RAS+ mm)" if spacing else None),
        ("", affine[1] if spacing else None),
        ("", affine[2] if spacing else None),
        ("units", volume.units or "not stated: values are taken as they are"),
        ("values", _values(facts)),
        ("padding", _padding(facts)),
        ("not finite", _not_finite(facts)),
        *(("note", warning) for warning in facts["warnings"]),
    ]
    shown = [(name, value) for name, value in rows if value]
    width = max(len(name) for name, _ in shown)
    return "volume\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in shown)


def _directions(volume: Volume) -> str:
    return ", ".join(_DIRECTION[code] for code in volume.orientation)


def _sheared(volume: Volume) -> str | None:
    """By how much axes that should be perpendicular are not."""
    unit = volume.affine[:3, :3] / volume.spacing
    largest = float(np.abs(unit.T @ unit - np.eye(3)).max())
    degrees = float(np.degrees(np.arcsin(min(1.0, largest))))
    if degrees < _PERPENDICULAR_DEG:
        return None
    return (
        f"axes {degrees:.1f}° off perpendicular (gantry tilt, or an affine registration): the "
        "model sees the scan un-sheared, the heatmap lies on these voxels"
    )


_PERPENDICULAR_DEG = 0.1
_DIRECTION = {
    "L": "left",
    "R": "right",
    "P": "posterior",
    "A": "anterior",
    "S": "superior",
    "I": "inferior",
}


def _values(facts: dict[str, Any]) -> str:
    if facts["minimum"] is None:
        return "none"
    return f"{facts['minimum']:g} to {facts['maximum']:g} {facts['units'] or ''}".strip()


def _not_finite(facts: dict[str, Any]) -> str | None:
    count = facts["not_finite"]
    return f"{count} voxels: models refuse them without --nan" if count else None


def _padding(facts: dict[str, Any]) -> str | None:
    if not facts["padding"]:
        return None
    low, high = facts["padding"]
    value = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{facts['padding_share']:.1%} of the voxels ({value}) were never measured"


def _by(sizes: Sequence[float] | Iterable[int]) -> str:
    return "×".join(f"{n:.4g}" if isinstance(n, float) else str(n) for n in sizes)
