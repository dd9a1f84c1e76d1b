"""Whether maps lie on the objects that make a class true."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcam_client.grid import cell_weights
from vcam_client.spec import CamLayer
from vcam_training.cams.perfect_map import perfect_map_dice
from vcam_training.evaluation.localisation import (
    ThresholdSearch,
    cell_distances,
    centre_distances,
    centre_error,
    energy_inside,
    heatmap_on_grid,
    overlap,
    peak_error,
    stretched_heatmap,
    zoomed_heatmap,
)
from vcam_training.trust.cases import Cases

LARGE_RADIUS = 10.0
"""Voxels of the model's grid from which an object's equivalent radius is large."""

PLACED = "in their place"
"""Maps whose cells lie where their receptive fields are."""

PEERS: dict[str, Callable[[NDArray[np.float32], Sequence[int]], NDArray[np.float32]]] = {
    "stretched over the volume": stretched_heatmap,
    "zoomed corner to corner": zoomed_heatmap,
}
"""How others lay a map out; the second as tf-keras-vis does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Peer:
    """The same maps laid out otherwise; float64 [n] each, see `Localisation`."""

    dice: NDArray[np.float64]
    peak_error: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Localisation:
    """Agreement of maps and masks; every array has one value for each scan.

    Attributes:
        distance: cells from the strongest cell's centre to the object, 0 inside; infinite
            for a map without a positive cell.
        centre: cells from the weighted centre of the map to the object's; infinite for a map
            without a positive cell.
        centre_chance: share of cells no further than one cell from the object's centre.
        chance_near, chance_inside: share of cells within one cell of the object, inside.
        dice, iou, dice_chance, iou_chance: at the threshold from validation.
        energy, energy_chance: share of the heatmap inside, share of voxels inside.
        ceiling: Dice of a perfect map on the same cells.
        peak_error: voxels from the heatmap's strongest voxel to the object.
        peers: the same maps laid out otherwise, by the names in PEERS.
        large: bool, whether the object is large and inside the cells' span.
    """

    distance: NDArray[np.float64]
    centre: NDArray[np.float64]
    centre_chance: NDArray[np.float64]
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
    peers: Mapping[str, Peer]
    large: NDArray[np.bool_]


def localise(
    cases: Cases,
    maps: NDArray[np.float32],
    layer: CamLayer,
    *,
    cuts: Mapping[str, float],
    progress: Callable[[], None] = lambda: None,
) -> Localisation:
    """Compares each map with its mask.

    Args:
        cases: scans that have an object.
        maps: float32 [n, *cells], raw and signed.
        layer: where the cells lie.
        cuts: heatmap value from which a voxel is marked, from validation, for PLACED and
            each of PEERS.
        progress: called after each scan.
    """
    rows = []
    beside: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    for cam, mask in zip(maps, cases.masks, strict=True):
        placed = heatmap_on_grid(cam, mask.shape, layer)
        distances = cell_distances(mask, layer).ravel()
        agreed = overlap(placed, mask, cuts[PLACED])
        rows.append(
            {
                "distance": distances[cam.argmax()] if cam.max() > 0 else np.inf,
                "centre": centre_error(cam, layer, mask),
                "centre_chance": (centre_distances(mask, layer) <= 1).mean(),
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
                "large": is_large(mask, layer),
            }
        )
        for name, lay_out in PEERS.items():
            other = lay_out(cam, mask.shape)
            dice = overlap(other, mask, cuts[name]).dice
            beside[name].append((dice, peak_error(other, mask)))
        progress()
    peers = {
        name: Peer(dice=np.array(found)[:, 0], peak_error=np.array(found)[:, 1])
        for name, found in beside.items()
    }
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Localisation(**columns, peers=peers)


def thresholds(cases: Cases, maps: NDArray[np.float32], layer: CamLayer) -> dict[str, float] | None:
    """The best threshold for PLACED maps and for each of PEERS; None without masks.

    Args:
        cases, maps: of the validation split.
        layer: where the cells lie.
    """
    searches = {name: ThresholdSearch() for name in (PLACED, *PEERS)}
    for cam, mask in _with_object(cases, maps):
        searches[PLACED].add(heatmap_on_grid(cam, mask.shape, layer), mask)
        for name, lay_out in PEERS.items():
            searches[name].add(lay_out(cam, mask.shape), mask)
    found = {name: search.best for name, search in searches.items()}
    chosen = {name: best[0] for name, best in found.items() if best is not None}
    return chosen if len(chosen) == len(found) else None


def equivalent_radius(mask: NDArray[np.bool_]) -> float:
    """Radius, voxels, of the ball or disc with as many voxels."""
    voxels = int(np.count_nonzero(mask))
    return (3 * voxels / (4 * np.pi)) ** (1 / 3) if mask.ndim == 3 else (voxels / np.pi) ** 0.5


def is_large(mask: NDArray[np.bool_], layer: CamLayer) -> bool:
    """Whether an object has LARGE_RADIUS and lies where there are cells, half a cell around."""
    if equivalent_radius(mask) < LARGE_RADIUS:
        return False
    voxels = np.argwhere(mask)
    geometry = zip(mask.shape, layer.cells, layer.offset, layer.stride, strict=True)
    shown = (cell_weights(*axis).any(axis=1) for axis in geometry)
    return all(bool(along[voxels[:, axis]].all()) for axis, along in enumerate(shown))


def _with_object(
    cases: Cases, maps: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    for cam, mask in zip(maps, cases.masks, strict=True):
        if mask.any():
            yield cam, mask
