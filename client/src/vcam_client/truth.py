"""A mask of what is true, and how well a map agrees with it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import InputError
from vcam_client.volume import Volume

if TYPE_CHECKING:
    from vcam_client.prediction import Prediction

SAME_PLACE_MM = 1e-3
"""Distance of corners up to which two grids of one shape are the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """A mask on the grid of a scan.

    Attributes:
        mask: bool [I, J, K].
        path: where it was read from, or None.
        voxels: how many are marked.
        remarks: how it came onto the grid, in sentences; none where it lay there.

    Raises:
        InputError: the mask is not three-dimensional, or a masked array.
    """

    mask: NDArray[np.bool_] = field(repr=False)
    path: Path | None = None
    remarks: tuple[str, ...] = ()
    voxels: int = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.mask, np.ma.MaskedArray):
            raise InputError(
                "Expected a plain array that marks voxels, received a masked one. Say what its "
                "hidden voxels are: array.filled(False)."
            )
        if self.mask.ndim != 3:
            raise InputError(f"Expected a mask [I, J, K], received the shape {self.mask.shape}.")
        object.__setattr__(self, "mask", self.mask.astype(bool, copy=False))
        object.__setattr__(self, "voxels", int(np.count_nonzero(self.mask)))

    @property
    def share(self) -> float:
        """Share of the scan's voxels that are marked."""
        return self.voxels / self.mask.size

    @classmethod
    def read(cls, path: Path | str, scan: Volume) -> "Truth":
        """Reads a mask in any format that `read_volume` reads; voxels other than 0 are marked.

        A mask on another grid in the same world is resampled to the nearest voxel; what
        lies outside of it is not marked.

        Raises:
            InputError: it can't be read, or does not lie on the scan.
        """
        from vcam_client.reading import read_volume

        return cls.on_scan(read_volume(path), scan, path=Path(path))

    @classmethod
    def on_scan(cls, given: Volume, scan: Volume, *, path: Path | None = None) -> "Truth":
        """The same for a mask that is a volume."""
        if given.shape == scan.shape and _apart_mm(given, scan) <= SAME_PLACE_MM:
            return cls(mask=_marked(given.data), path=path)
        if given.spacing_known and given.anatomical and scan.spacing_known and scan.anatomical:
            return cls(
                mask=_resampled(given, scan),
                path=path,
                remarks=(
                    f"The mask {given.name} lies on a grid of {_grid(given)}; it is taken onto the "
                    f"scan's {_grid(scan)}, the nearest voxel each.",
                ),
            )
        if given.shape == scan.shape:
            return cls(
                mask=_marked(given.data),
                path=path,
                remarks=(f"The mask {given.name} has no place in the world; it is compared voxel "
                "by voxel.",),
            )  # fmt: skip
        raise InputError(
            f"Expected a mask of the scan's {_by(scan.shape)} voxels, received {given.name} with "
            f"{_by(given.shape)}, and one of the two states no place in the world. Draw it on "
            "the scan itself."
        )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a map agrees with a mask.

    Attributes:
        threshold: value of the heatmap from which a voxel counts for Dice and IoU.
        truth_voxels: how many voxels the mask marks.
        truth_volume_mm3: their volume; None where nobody knows.
        dice, iou: of mask and thresholded heatmap, in [0, 1]; None for an empty mask.
        dice_chance: what as many voxels anywhere in the scan would reach on average.
        pointing: whether the strongest cell's centre lies in the mask; None without
            evidence or with an empty mask.
        distance_mm: from there to the closest voxel of the mask, 0 inside; None where
            there is no pointing, or where the spacing is unknown.
        energy: share of the heatmap's sum that lies in the mask; None likewise.
        chance: what `pointing` and `energy` are by chance: the mask's share of the scan.
    """

    threshold: float
    truth_voxels: int
    truth_volume_mm3: float | None
    dice: float | None
    iou: float | None
    dice_chance: float | None
    pointing: bool | None
    distance_mm: float | None
    energy: float | None
    chance: float


def agreement(prediction: "Prediction", truth: Truth, threshold: float) -> Agreement:
    """Compares the heatmap of a prediction with a mask on the same scan.

    Raises:
        InputError: a mask of another shape, or a threshold out of range.
    """
    from vcam_client.regions import stored_level

    volume = prediction.volume
    if truth.mask.shape != volume.shape:
        raise InputError(
            f"Expected a mask of {_by(volume.shape)} voxels, received {_by(truth.mask.shape)}. "
            "Use Truth.on_scan to bring it onto the scan."
        )
    level = stored_level(threshold)
    marked = both = inside = everywhere = 0
    # plane by plane: nothing as large as the scan beside heatmap and mask
    for heat, true in zip(prediction.stored_heatmap.T, truth.mask.T, strict=True):
        strong = heat >= level
        marked += int(np.count_nonzero(strong))
        both += int(np.count_nonzero(strong & true))
        everywhere += int(heat.sum(dtype=np.int64))
        inside += int(heat.sum(dtype=np.int64, where=true))
    either = marked + truth.voxels
    pointed = prediction.has_evidence and truth.voxels > 0
    distance = _distance(prediction, truth) if pointed else None
    known = truth.voxels > 0
    return Agreement(
        threshold=threshold,
        truth_voxels=truth.voxels,
        truth_volume_mm3=prediction.mm3(truth.voxels),
        dice=2 * both / either if known else None,
        iou=both / (either - both) if known else None,
        dice_chance=2 * marked * truth.share / either if known else None,
        pointing=None if distance is None else distance == 0,
        distance_mm=distance if volume.spacing_known else None,
        energy=inside / everywhere if pointed and everywhere else None,
        chance=truth.share,
    )


def _distance(prediction: "Prediction", truth: Truth) -> float:
    """Millimetres from the strongest cell's centre to the closest marked voxel; 0 inside."""
    at = np.array(prediction.evidence.voxel)
    i, j, k = (round(v) for v in prediction.evidence.voxel)
    shape = truth.mask.shape
    if all(0 <= v < n for v, n in zip((i, j, k), shape, strict=True)) and truth.mask[i, j, k]:
        return 0.0
    to_mm = prediction.volume.affine[:3, :3]
    least = np.inf
    for n, plane in enumerate(truth.mask.transpose(2, 0, 1)):
        index = np.argwhere(plane)
        if len(index):
            apart = np.column_stack([index, np.full(len(index), n)]) - at
            least = min(least, float(((apart @ to_mm.T) ** 2).sum(axis=1).min()))
    return float(np.sqrt(least))


def _marked(data: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a mask is neither 0 nor NaN."""
    marked: NDArray[np.bool_] = data != 0
    if data.dtype.kind == "f":
        marked &= ~np.isnan(data)
    return marked


def _resampled(given: Volume, scan: Volume) -> NDArray[np.bool_]:
    """The mask's nearest voxel for each of the scan.

    Raises:
        InputError: no voxel of the scan lies in the mask's extent.
    """
    to_mask = np.linalg.inv(given.affine) @ scan.affine
    stored = _marked(given.data)
    out = np.zeros(scan.shape, bool, order="F")
    across = np.indices(scan.shape[:2]).reshape(2, -1)
    sizes = np.array(given.shape)[:, None]
    met = False
    for k in range(scan.shape[2]):
        centre = to_mask[:3, 2:3] * k + to_mask[:3, 3:]
        index = np.floor(to_mask[:3, :2] @ across + centre + 0.5 + _EDGE).astype(np.intp)
        inside = ((index >= 0) & (index < sizes)).all(axis=0)
        if inside.any():
            met = True
            plane = np.zeros(inside.shape, bool)
            plane[inside] = stored[tuple(index[:, inside])]
            out[..., k] = plane.reshape(scan.shape[:2])
    if not met:
        raise InputError(
            f"Expected a mask that lies on the scan, received one beside it: {given.name} spans "
            f"{_span(given)}, the scan {_span(scan)} (RAS mm). Draw it on the scan itself, or "
            "repair its geometry."
        )
    return out


_EDGE = 1e-6
"""Voxels by which rounding may put a centre just below the middle between two others."""


def _corners(volume: Volume) -> NDArray[np.float64]:
    """float64 [8, 3]: RAS+ mm of the centres of the outermost voxels."""
    ends = np.array(np.meshgrid(*((0, n - 1) for n in volume.shape))).reshape(3, -1)
    corners: NDArray[np.float64] = (volume.affine[:3, :3] @ ends + volume.affine[:3, 3:]).T
    return corners


def _apart_mm(a: Volume, b: Volume) -> float:
    """The most that corners of two volumes of one shape lie apart."""
    return float(np.linalg.norm(_corners(a) - _corners(b), axis=1).max())


def _span(volume: Volume) -> str:
    corners = _corners(volume)
    ends = zip(corners.min(axis=0), corners.max(axis=0), strict=True)
    return ", ".join(f"{low:.0f} to {high:.0f}" for low, high in ends)


def _grid(volume: Volume) -> str:
    spacing = "×".join(f"{s:.3g}" for s in volume.spacing)
    return f"{_by(volume.shape)} voxels of {spacing} mm"


def _by(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
