"""Which objects the maps of each layer could show at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from vcam_client.errors import ConfigError
from vcam_client.spec import CamLayer
from vcam_training.cams.heatmap import interpolation_matrix
from vcam_training.cams.layers import candidates
from vcam_training.cams.perfect_map import worst_ball_dice
from vcam_training.cams.target_layer import target_layer
from vcam_training.network import Network

_SHARES = (1 / 32, 1 / 16, 1 / 8)
"""Default radii, of the grid's shortest side."""


@dataclass(frozen=True, kw_only=True)
class Radii:
    """Sizes of objects.

    Attributes:
        values: ascending; millimetres where the grid has a spacing, else voxels.
        spacing_mm: of the grid along each tensor axis, or empty.
    """

    values: tuple[float, ...]
    spacing_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.values or not all(0 < value < float("inf") for value in self.values):
            raise ConfigError(
                f"Expected positive radii, received {self.values}. Give --radius in {self.unit}."
            )

    @property
    def unit(self) -> str:
        """Of the values."""
        return "mm" if self.spacing_mm else "voxels"

    def voxels(self, axes: int) -> tuple[tuple[float, ...], ...]:
        """Each radius along each tensor axis of the grid, in voxels."""
        spacing = self.spacing_mm or (1.0,) * axes
        return tuple(tuple(value / step for step in spacing) for value in self.values)


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer, or several fused, that a map can be read on.

    Attributes:
        index: what `cam_layer` and `--layer` take; None for layers that are bypassed,
            fused or no complete feature map.
        layer: name, cells and their place.
        channels: of the feature map; None where it is not a candidate.
        covers: share of the grid's voxels that are no further than half a cell from the
            cells' centres: where the map can show something at all.
        dice: lowest Dice of a perfect map of a ball, for each radius, where there are
            cells.
        last: whether "last" means it.
        explained: whether the run or the exported model explains itself there.
        bypassed: whether scores can be reached without it.
    """

    index: int | None
    layer: CamLayer
    channels: int | None
    covers: float
    dice: tuple[float, ...]
    last: bool
    explained: bool
    bypassed: bool


def default_radii(grid: Sequence[int], spacing_mm: Sequence[float] = ()) -> Radii:
    """1/32, 1/16 and 1/8 of the grid's shortest side, in two digits; a voxel at the least."""
    spacing = tuple(spacing_mm) or (1.0,) * len(grid)
    side = min(voxels * step for voxels, step in zip(grid, spacing, strict=True))
    values = {float(f"{max(side * share, *spacing):.2g}") for share in _SHARES}
    return Radii(values=tuple(sorted(values)), spacing_mm=tuple(spacing_mm))


def layer_table(network: Network, radii: Radii, *, bypassed: bool = False) -> tuple[LayerRow, ...]:
    """The candidates of a network, and what it explains itself by if that is none of them.

    Args:
        network: see `read_network`.
        radii: of balls, for the Dice of perfect maps.
        bypassed: whether bypassed candidates are listed, too.

    Raises:
        ConfigError: the network's layers can't be followed; it lacks a layer that it
            is said to explain itself by.
    """
    grid = network.grid
    balls = radii.voxels(len(grid))

    @cache  # many layers have the same cells
    def dice(place: CamLayer) -> tuple[float, ...]:
        return tuple(worst_ball_dice(ball, place, grid) for ball in balls)

    explained = [target_layer(network.model, name).place for name in network.explained]
    names = {layer.name for layer in explained}
    rows = [
        LayerRow(
            index=one.index,
            layer=one.layer,
            channels=one.channels,
            covers=_share_covered(one.layer, grid),
            dice=dice(_cells_alone(one.layer)),
            last=one.last,
            explained=one.layer.name in names,
            bypassed=one.bypassed,
        )
        for one in candidates(network.model)
        if bypassed or not one.bypassed or one.layer.name in names
    ]
    listed = {row.layer.name for row in rows}
    rows += [
        LayerRow(
            index=None,
            layer=layer,
            channels=None,
            covers=_share_covered(layer, grid),
            dice=dice(_cells_alone(layer)),
            last=False,
            explained=True,
            bypassed=False,
        )
        for layer in explained
        if layer.name not in listed
    ]
    return tuple(rows)


def _share_covered(layer: CamLayer, grid: Sequence[int]) -> float:
    geometry = zip(grid, layer.cells, layer.offset, layer.stride, strict=True)
    return math.prod(float(interpolation_matrix(*axis).any(axis=1).mean()) for axis in geometry)


def _cells_alone(layer: CamLayer) -> CamLayer:
    return CamLayer(name="", cells=layer.cells, offset=layer.offset, stride=layer.stride)
