"""Puts frames in order along their normal, and says whether they make a volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client._dicom.apart import why_same_positions
from vcam_client._dicom.frame import Frame
from vcam_client._dicom.lines import evenly_spaced, off_line, same_distance
from vcam_client.errors import InconsistentSeriesError

_TILT_DEG = 0.5
"""Angle between the stacking direction and the normal up to which it counts as none."""
_STRAIGHT_MM = 0.05
"""Largest distance of a slice from the straight line that fits all of them best."""
_WHOLE = 0.05
"""Deviation from a whole number of slice distances that still speaks for missing slices."""
_HOLE = 2.5
"""A lone gap this many times the typical one is a hole, whole number or not."""
_PROTOCOL_RUN = 3
"""Wider gaps that are at least this many, side by side at one end, were planned so."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Frames along their normal; LPS+ millimetres.

    Attributes:
        frames: in the order of increasing position along the normal.
        along: float64 [N], position of each along the normal.
        step: from one slice to the next, on average.
        spacing: between rows, between columns.
        tilt_deg: angle between the stacking direction and the normal.
        even: whether the slices are equally spaced, on a straight line.
        spacing_known: whether `spacing` is stated by the file or by the user.
        warnings: what had to be assumed, in sentences.
    """

    frames: tuple[Frame, ...]
    along: NDArray[np.float64]
    step: NDArray[np.float64]
    spacing: tuple[float, float]
    tilt_deg: float
    even: bool
    spacing_known: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def tilted(self) -> bool:
        """Whether the stack is sheared (gantry tilt)."""
        return self.tilt_deg > _TILT_DEG

    @property
    def crooked(self) -> bool:
        """Whether slices are equally spaced, but not on a straight line."""
        return not self.even and evenly_spaced(self.along)

    @property
    def regular(self) -> bool:
        """Whether an affine with perpendicular axes describes it."""
        return self.even and not self.tilted


def stack(frames: Sequence[Frame], spacing: tuple[float, float], name: str) -> Stack:
    """Orders the frames of one volume.

    Args:
        frames: of one orientation and shape, any order.
        spacing: between rows, between columns (mm).
        name: of the scan, for messages.

    Raises:
        InconsistentSeriesError: positions twice, or missing slices.
    """
    normal = frames[0].normal
    positions = np.array([frame.position for frame in frames])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    ordered, along, positions = tuple(frames[i] for i in order), along[order], positions[order]
    if len(ordered) == 1:
        thickness = ordered[0].thickness
        assumed = "The only slice states no thickness; 1 mm is assumed."
        needed = not thickness and not ordered[0].instance.radiograph
        return Stack(
            frames=ordered,
            along=along,
            step=normal * (thickness or 1.0),
            spacing=spacing,
            tilt_deg=0.0,
            even=True,
            warnings=(assumed,) if needed else (),
        )
    gaps = np.diff(along)
    _refuse_same_positions(ordered, gaps, along, name)
    even = evenly_spaced(along)
    if len(ordered) == 2:
        _refuse_hole_between_two(ordered, float(gaps[0]), name)
    elif not even:
        _refuse_missing(gaps, along, name)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    straight = off_line(positions, along) <= _STRAIGHT_MM
    cosine = np.clip(step @ normal / np.linalg.norm(step), -1, 1)
    return Stack(
        frames=ordered,
        along=along,
        step=step,
        spacing=spacing,
        tilt_deg=float(np.degrees(np.arccos(cosine))),
        even=even and straight,
    )


def unplaced_stack(frames: Sequence[Frame], given: tuple[float, ...] | None) -> Stack:
    """Frames that state no position: in their stored order, as if they were axial.

    Args:
        frames: of one file.
        given: spacing along columns, rows, slices (mm) that the user knows, or None.
    """
    first = frames[0]
    through = first.instance.slice_distance or first.thickness
    stated = (first.spacing[1], first.spacing[0], abs(through)) if first.spacing else None
    known = given or (stated if stated and stated[2] > 0 else None)
    across, down, step = known or (1.0, 1.0, 1.0)
    return Stack(
        frames=tuple(sorted(frames, key=lambda frame: frame.index)),
        along=step * np.arange(len(frames), dtype=np.float64),
        step=np.array([0, 0, step]),
        spacing=(down, across),
        tilt_deg=0.0,
        even=True,
        spacing_known=known is not None,
        warnings=(
            "The file states no position or orientation of its slices: they are taken in their "
            "stored order, as if they were axial. Don't trust left and right, or up and down.",
        ),
    )


def _refuse_same_positions(
    frames: Sequence[Frame], gaps: NDArray[np.float64], along: NDArray[np.float64], name: str
) -> None:
    same = np.flatnonzero(gaps <= same_distance(gaps))
    if same.size:
        where = sorted({round(float(along[i]), 2) for i in same})
        raise InconsistentSeriesError(
            f"Several slices of {name} lie at the same position ({_listed(where)} mm along the "
            f"normal). {why_same_positions(frames)} Keep one series, phase or time point."
        )


def _refuse_missing(gaps: NDArray[np.float64], along: NDArray[np.float64], name: str) -> None:
    """Tells holes from a protocol whose spacing changes."""
    least, typical = float(gaps.min()), float(np.median(gaps))
    counts = gaps / least
    wide = counts > 1.5
    if _planned(wide):
        return
    whole = bool((np.abs(counts - np.rint(counts)) <= _WHOLE).all())
    holes = np.flatnonzero(wide if whole else gaps > _HOLE * typical)
    if holes.size:
        unit = least if whole else typical
        listed = [f"{gaps[i]:.3f} mm after {along[i]:.2f} mm" for i in holes]
        raise InconsistentSeriesError(
            f"Slices of {name} are missing: they are {unit:.3f} mm apart, but "
            f"{_listed(listed)} along the normal. Complete the series, or resample it yourself."
        )


def _planned(wide: NDArray[np.bool_]) -> bool:
    """Whether the wide gaps are one run of several at an end of the stack."""
    count = int(wide.sum())
    at_end = bool(wide[:count].all() or wide[-count:].all()) if count else False
    return at_end and count >= _PROTOCOL_RUN


def _refuse_hole_between_two(frames: Sequence[Frame], gap: float, name: str) -> None:
    expected = frames[0].instance.slice_distance
    if expected > 0 and gap > 1.5 * expected:
        raise InconsistentSeriesError(
            f"Slices of {name} are missing: the two are {gap:.3f} mm apart, the header states "
            f"{expected:.3f} mm. Complete the series."
        )


def _listed(items: Sequence[object], most: int = 4) -> str:
    text = ", ".join(map(str, items[:most]))
    return f"{text} and {len(items) - most} more" if len(items) > most else text
