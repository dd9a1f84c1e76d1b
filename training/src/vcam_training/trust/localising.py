"""Whether maps lie on the objects that make a class true."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.spec import CamLayer
from vcam_training.localisation import (
    ThresholdSearch,
    cell_distances,
    energy_inside,
    heatmap_on_grid,
    overlap,
    peak_error,
    stretched_heatmap,
)
from vcam_training.perfect_map import perfect_map_dice
from vcam_training.trust.cases import Cases

LARGE_RADIUS = 10.0
"""Voxels of the model's grid from which an object's equivalent radius is large."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Localisation:
    """Agreement of maps and masks; every array has one value for each scan.

    Attributes:
        distance: cells from the strongest cell's centre to the object, 0 inside; infinite
            for a map without a positive cell.
        chance_near, chance_inside: share of cells within one cell of the object, inside.
        dice, iou, dice_chance, iou_chance: at the threshold from validation.
        energy, energy_chance: share of the heatmap inside, share of voxels inside.
        ceiling: Dice of a perfect map on the same cells.
        peak_error: voxels from the heatmap's strongest voxel to the object.
        stretched_dice, stretched_peak_error: of the same map stretched over the volume,
            at the best threshold for such maps on validation.
        large: bool, whether the object is large and inside the cells' span.
    """

    distance: NDArray[np.float64]
    chance_near: NDArray[np.float64]
    chance_inside: NDArray[np.float64]
    dice: NDArray[np.float64]
    iou: NDArray[np.float64]
    dice_chance: NDArray[np.float64]
    iou_chance: NDArray[np.float64]
    energy: NDArray[np.float64]
    energy_chance: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    peak_error: NDArray[np.float64]
    stretched_dice: NDArray[np.float64]
    stretched_peak_error: NDArray[np.float64]
    large: NDArray[np.bool_]


def localise(
    cases: Cases,
    maps: NDArray[np.float32],
    layer: CamLayer,
    *,
    threshold: float,
    stretched_threshold: float,
    progress: Callable[[], None] = lambda: None,
) -> Localisation:
    """Compares each map with its mask.

    Args:
        cases: scans that have an object.
        maps: float32 [n, *cells], raw and signed.
        layer: where the cells lie.
        threshold, stretched_threshold: heatmap values, from validation.
        progress: called after each scan.
    """
    rows = []
    for cam, mask in zip(maps, cases.masks, strict=True):
        placed = heatmap_on_grid(cam, mask.shape, layer)
        stretched = stretched_heatmap(cam, mask.shape)
        distances = cell_distances(mask, layer).ravel()
        agreed = overlap(placed, mask, threshold)
        rows.append(
            {
                "distance": distances[cam.argmax()] if cam.max() > 0 else np.inf,
                "chance_near": (distances <= 1).mean(),
                "chance_inside": (distances == 0).mean(),
                "dice": agreed.dice,
                "iou": agreed.iou,
                "dice_chance": agreed.dice_chance,
                "iou_chance": agreed.iou_chance,
                "energy": energy_inside(placed, mask),
                "energy_chance": mask.mean(),
                "ceiling": perfect_map_dice(mask, layer),
                "peak_error": peak_error(placed, mask),
                "stretched_dice": overlap(stretched, mask, stretched_threshold).dice,
                "stretched_peak_error": peak_error(stretched, mask),
                "large": is_large(mask, layer),
            }
        )
        progress()
    return Localisation(**{name: np.array([row[name] for row in rows]) for name in rows[0]})


def thresholds(
    cases: Cases, maps: NDArray[np.float32], layer: CamLayer
) -> tuple[float, float] | None:
    """The best threshold for maps in their place and for stretched ones; None without masks.

    Args:
        cases, maps: of the validation split.
        layer: where the cells lie.
    """
    placed, stretched = ThresholdSearch(), ThresholdSearch()
    for cam, mask in _with_object(cases, maps):
        placed.add(heatmap_on_grid(cam, mask.shape, layer), mask)
        stretched.add(stretched_heatmap(cam, mask.shape), mask)
    if placed.best is None or stretched.best is None:
        return None
    return placed.best[0], stretched.best[0]


def equivalent_radius(mask: NDArray[np.bool_]) -> float:
    """Radius, voxels, of the ball or disc with as many voxels."""
    voxels = int(np.count_nonzero(mask))
    return (3 * voxels / (4 * np.pi)) ** (1 / 3) if mask.ndim == 3 else (voxels / np.pi) ** 0.5


def is_large(mask: NDArray[np.bool_], layer: CamLayer) -> bool:
    """Whether an object has LARGE_RADIUS and lies where there are cells, half a cell around."""
    if equivalent_radius(mask) < LARGE_RADIUS:
        return False
    voxels = np.argwhere(mask)
    offset, stride = np.asarray(layer.offset), np.asarray(layer.stride)
    low, high = offset - stride / 2, offset + stride * (np.asarray(layer.cells) - 0.5)
    return bool((voxels.min(axis=0) >= low).all() and (voxels.max(axis=0) <= high).all())


def _with_object(
    cases: Cases, maps: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    for cam, mask in zip(maps, cases.masks, strict=True):
        if mask.any():
            yield cam, mask
